"""A network's weights made fit for integers: other weights of the same network, which compute the same in real numbers.

For networks whose residual stream goes through RMS norms alone. These do not care for a rotation of their rows, so

- **norms** have no factors: the next weights take them in;
- the **residual stream** is rotated, so that a token's few massive features become small ones in all features. The
  table of words, the weights before and after the stream and the head take the rotation in. So the head's matrix is no
  longer the table of words.

Two more scales are free. What they do not change in the products, they take from the ranges that integers must hold:

- a pair of features of the **keys** may be smaller where that of the queries is larger by as much: pairs turn as a
  whole;
- a feature of a gate's **values** may be smaller where its column of the next weights is larger.

Calibration has found the ranges before.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .architecture import Add, Attention, Gate, Graph, HeadNorm, Linear, Norm, Rotary
from .calibrate import Ranges
from .hadamard import rotation
from .network import Network
from .scaling import TINY
from .weights import Dense, NormWeights, Parameters, Weights

__all__ = ["is_suited", "suited"]


def is_suited(network: Network) -> bool:
    """Whether a network's weights can be made so: all norms of its stream are RMS norms."""
    graphs = [network.layer, *([network.head] if network.head else [])]
    norms = [norm for graph in graphs for norm in graph.of(Norm)]
    return all(norm.root_mean_square for norm in norms) and not network.embedding.graph


def suited(weights: Weights, ranges: Sequence[Ranges]) -> Weights:
    """See above; ``ranges`` are those of the ``weights``."""
    network, turn = weights.network, rotation(weights.network.hidden)
    layers = []
    for parameters, found in zip(weights.layers, ranges, strict=False):
        own = _balanced_gates(network.layer, _balanced_pairs(network.layer, parameters, found), found)
        layers.append(_rotated(network.layer, own, turn))
    return Weights(
        network=network,
        tables={name: _single(table @ turn) for name, table in weights.tables.items()},
        embedding=weights.embedding,
        layers=tuple(layers),
        head=_rotated(network.head, weights.head, turn) if network.head else weights.head,
        closing=weights.closing,
        source=weights.source,
    )


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def _scaled(dense: Dense, *, rows: np.ndarray | float = 1.0, columns: np.ndarray | float = 1.0) -> Dense:
    """A linear operator whose results are multiplied by ``rows``, for inputs that were divided by ``columns``."""
    weight = dense.weight * np.reshape(rows, (-1, 1)) * columns
    return Dense(_single(weight), _single(dense.bias * rows))


def _rotated(graph: Graph, parameters: Parameters, turn: np.ndarray) -> Parameters:
    """The parameters of a graph whose input, and whose output if it is as wide, are rotated, without norms' factors."""
    found: dict[str, Any] = dict(parameters)
    stream = {graph.input, *(add.name for add in graph.of(Add))}
    branches = {add.branch for add in graph.of(Add)}
    for norm in graph.of(Norm):
        if norm.source not in stream or isinstance(norm, HeadNorm):
            continue
        gamma = parameters[norm.name].gamma
        found[norm.name] = NormWeights(np.ones_like(gamma), np.zeros_like(gamma))
        for reader in graph.readers(norm.name):
            assert isinstance(reader, Linear)
            for part in reader.parts:
                own = found[part.name]
                found[part.name] = Dense(_single((own.weight * gamma) @ turn), own.bias)
    for linear in graph.of(Linear):
        for part in linear.parts:
            if part.name in branches:
                own = found[part.name]
                found[part.name] = Dense(_single(turn.T @ own.weight), _single(own.bias @ turn))
    return found


def _balanced_pairs(graph: Graph, parameters: Parameters, ranges: Ranges) -> Parameters:
    """Pairs of keys as large as those of the queries that they meet, half of the way, in all heads on average."""
    found: dict[str, Any] = dict(parameters)
    for attention in graph.of(Attention):
        keys, queries = graph.maker(attention.keys), graph.maker(attention.queries)
        if not isinstance(keys, Rotary) or not isinstance(queries, Rotary):
            continue
        if not all(isinstance(graph.maker(one.source), Linear) for one in (keys, queries)):
            continue  # a norm's factors are those of all heads
        size, group = attention.head_size, attention.heads // attention.kv_heads
        key = ranges[keys.name].reshape(attention.kv_heads, size // 2, 2).max(axis=2)
        query = ranges[queries.name].reshape(attention.kv_heads, group, size // 2, 2).max(axis=(1, 3))
        factor = np.sqrt(np.maximum(query, TINY) / np.maximum(key, TINY))
        factor /= np.exp(np.log(factor).mean(axis=1, keepdims=True))
        for rotary, own in ((keys, factor), (queries, np.repeat(1 / factor, group, axis=0))):
            found[rotary.source] = _scaled(found[rotary.source], rows=np.repeat(own, 2, axis=1).reshape(-1))
    return found


def _balanced_gates(graph: Graph, parameters: Parameters, ranges: Ranges) -> Parameters:
    """Products of gates as large as the columns of the next weights, half of the way."""
    found: dict[str, Any] = dict(parameters)
    for gate in graph.of(Gate):
        readers = [part for linear in graph.readers(gate.name) if isinstance(linear, Linear) for part in linear.parts]
        if not readers or not isinstance(graph.maker(gate.values), Linear):
            continue
        columns = np.max([np.abs(found[part.name].weight).max(axis=0) for part in readers], axis=0)
        factor = np.sqrt(np.maximum(columns, TINY) / np.maximum(ranges[gate.name], TINY))
        factor /= np.exp(np.log(factor).mean())
        found[gate.values] = _scaled(found[gate.values], rows=factor)
        for part in readers:
            found[part.name] = _scaled(found[part.name], columns=1 / factor)
    return found
