"""Weights out of a Hugging Face checkpoint: a family's `Layout` says under which names they are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .architecture import Graph, Linear, Norm
from .family import Layout
from .gguf import GGUFTensors
from .network import Network
from .reader import TensorReader, without
from .rotary import neighbours
from .shards import open_tensors
from .weights import Dense, NormWeights, Parameters, Weights, with_table

__all__ = ["Checkpoint", "load_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """The weights that were read, and the names of the tensors of heads, which are ignored."""

    weights: Weights
    ignored: tuple[str, ...]


def load_checkpoint(path: Path, network: Network) -> Checkpoint:
    """The weights in a safetensors file, in the shards of an index, or in a GGUF file, for a network of this shape.

    Raises:
        InputError: for a file that cannot be read or lacks a tensor, and for tensors that are of another shape, not
            finite, or of no known use, with the tensor's name.
    """
    layout = network.traits.layout
    assert layout is not None, f"{network.name} is only estimated"

    file = open_tensors(path)
    known = file.plain_names(_names(network, layout), layout.modules) if isinstance(file, GGUFTensors) else {}
    if known and layout.gguf_neighbours:
        layout = replace(layout, apart=frozenset())

    def plain(name: str) -> str:
        name = without(known.get(name, name), layout.modules)
        for other, own in layout.renamed.items():
            name = name.replace(other, own)
        return name

    reader = TensorReader(file, plain)
    tables = {name: _table(reader, layout, name, rows, network) for name, rows in network.embedding.tables.items()}
    layers = tuple(_layer(reader, network, layout, layout.prefix.format(index)) for index in range(network.layers))
    embedding = _parameters(reader, network.embedding.graph, "", layout.embedding)
    own = {name: parts for name, parts in layout.head.items() if f"{name}.weight" != layout.tied or not network.tied}
    head = with_table(network.head, _parameters(reader, network.head, "", own), tables)
    closing = _parameters(reader, network.closing, "", layout.closing)
    weights = Weights(
        network=network,
        tables=tables,
        embedding=embedding,
        layers=layers,
        head=head,
        closing=closing,
        source=f"weights of {path}",
    )
    return Checkpoint(weights, reader.rest(re.compile(layout.buffers), network.name))


def _names(network: Network, layout: Layout) -> list[str]:
    """The names of all tensors that a plain model of the layout may have."""
    layers = [layout.prefix.format(index) + name for index in range(network.layers) for name in layout.layer]
    operators = [*layers, *layout.embedding, *layout.head, *layout.closing]
    return [*layout.tables.values(), *(f"{name}.{kind}" for name in operators for kind in ("weight", "bias"))]


def _table(reader: TensorReader, layout: Layout, name: str, rows: int, network: Network) -> np.ndarray:
    """A table. That of words may be stored as the matrix of a tied head, or as both."""
    stored, tied, hidden = layout.tables[name], layout.tied, network.hidden
    if name != "word" or not network.tied or tied not in reader.left:
        return reader.take(stored, rows, hidden)
    table = reader.take(tied, rows, hidden)
    if stored in reader.left and not np.array_equal(reader.take(stored, rows, hidden), table):
        raise InputError(f"{reader.file.path}: tensor {tied!r} must be the same as {stored!r}, as the head is tied")
    return table


def _layer(reader: TensorReader, network: Network, layout: Layout, prefix: str) -> Parameters:
    """The parameters of a layer, each head's pairs of features as neighbours."""
    found = _parameters(reader, network.layer, prefix, layout.layer, transposed=layout.transposed)
    order = neighbours(network.head_size)
    return {name: _reordered(own, order) if name in layout.apart else own for name, own in found.items()}


def _reordered(own: Any, order: np.ndarray) -> Any:
    """Parameters whose heads' features are put in an ``order``, which is that of one head."""

    def reordered(array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, len(order), *array.shape[1:])[:, order].reshape(array.shape)

    return replace(own, **{name: reordered(array) for name, array in vars(own).items()})


def _parameters(
    reader: TensorReader,
    graph: Graph | None,
    prefix: str,
    stored: Mapping[str, tuple[str, ...]],
    *,
    transposed: bool = False,
) -> Parameters:
    """The parameters of a graph's operators, by what each ``stored`` tensor holds of them."""
    if graph is None:
        return {}
    linears = {part.name: operator for operator in graph.of(Linear) for part in operator.parts}
    norms = {operator.name: operator for operator in graph.of(Norm)}
    found: dict[str, Dense | NormWeights] = {}
    for name, parts in stored.items():
        if parts[0] in norms:
            found[parts[0]] = reader.norm(prefix + name, norms[parts[0]])
            continue
        widths = [graph.widths[part] for part in parts]
        linear = linears[parts[0]]
        whole = reader.dense(prefix + name, sum(widths), linear.inputs, bias=linear.bias, transposed=transposed)
        cuts = np.cumsum(widths)[:-1]
        pieces = zip(parts, np.split(whole.weight, cuts), np.split(whole.bias, cuts), strict=True)
        found |= {part: Dense(weight, bias) for part, weight, bias in pieces}
    return found
