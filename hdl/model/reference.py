"""The integer reference of a network, made of the kernels' references: the truth for the hardware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..fixed import limits, saturate
from ..kernels.linear import exact_matmul
from ..kernels.parameters import RowFactors
from ..kernels.topk import MAX_CANDIDATES
from .architecture import Add, Attention, Gate, Graph, Linear, Norm, Rotary, Table
from .edges import Edge, edges
from .keyvalues import KeyValues, empty_cache, extend_cache, tokens_before, with_past
from .lowering import numeric_specs
from .network import Network
from .quantised import Quantised, QuantisedGraph

__all__ = [
    "MAX_CANDIDATES",
    "Candidates",
    "Decoder",
    "Step",
    "Trace",
    "best_candidates",
    "check_candidates",
    "run",
    "run_layer",
    "saturations",
]

Trace = dict[str, np.ndarray]
"""Integers by name, in the order of the data: tensors [tokens, features] (scores and numerators [heads, queries,
keys]), and row factors with mantissa and exponent on the last axis."""


def run(model: Quantised, tokens: np.ndarray) -> list[np.ndarray]:
    """Every layer's output, int16 [tokens, hidden], for embedded tokens (see `Quantised.embed`) of this shape.

    Raises:
        InputError: for tokens of another shape, none, or more than the model has positions for.
    """
    network, features = model.network, np.asarray(tokens)
    limit, hidden = network.max_positions, network.hidden
    if features.ndim != 2 or features.shape[1] != hidden or not 1 <= len(features) <= limit:
        shape = " x ".join(map(str, features.shape))
        raise InputError(f"tokens for model {network.name!r} must be of shape 1..{limit} x {hidden}, not {shape}")
    outputs = []
    for layer in model.layers:
        features = run_layer(layer, features, network)[network.layer.output].astype(np.int16)
        outputs.append(features)
    return outputs


def run_layer(layer: QuantisedGraph, tokens: np.ndarray, network: Network, past: KeyValues | None = None) -> Trace:
    """Every intermediate of a layer for its input [tokens, hidden], which is not among them. ``past``: keys and values
    [tokens before, features] of the tokens before."""
    return run_graph(network, network.layer, layer, tokens, past)


def run_graph(
    network: Network, graph: Graph, integers: QuantisedGraph, tokens: np.ndarray, past: KeyValues | None = None
) -> Trace:
    """Every intermediate of one of a network's graphs for its input [tokens, features]; see `run_layer`."""
    trace = {graph.input: tokens}
    walk = _Walk(trace, numeric_specs(network, graph), edges(graph, looped=graph == network.layer), integers, past)
    for operator in graph:
        operator.visit(walk)
    del trace[graph.input]
    return trace


def saturations(network: Network, graph: Graph, trace: Trace) -> dict[str, int]:
    """How many values of the 16-bit tensors in a graph's trace are at the ends of their range, by the tensors' names:
    they were saturated, or nearly. Tensors without such values are left out."""
    found = {}
    for tensor, edge in edges(graph, looped=graph == network.layer).items():
        if edge.bits == 16 and tensor in trace:
            low, high = limits(16, is_signed=not edge.zero_point)
            if count := int(((trace[tensor] >= high) | ((trace[tensor] <= low) & (low < 0))).sum()):
                found[tensor] = count
    return found


class Candidates(NamedTuple):
    """The tokens with the largest logits: ``ids`` and ``logits``, int64 [k], largest first, the lower id first among
    equals."""

    ids: np.ndarray
    logits: np.ndarray


class Step(NamedTuple):
    """All integers of a run over some tokens: of each layer, and from the last layer's output to the ``logits``."""

    layers: tuple[Trace, ...]
    head: Trace

    @property
    def logits(self) -> np.ndarray:
        """int16 [tokens, vocabulary] as int64."""
        return self.head["logits"]


class Decoder:
    """A quantised decoder with its KV cache: `prefill` a prompt, then `step` token by token; a text may go on with
    another prompt.

    Rows do not depend on each other but through keys and values, so all ways give the same integers.

    Members: ``model``; ``tokens``, the number of tokens that were taken; ``cache``: keys and values of each layer, int8
    [tokens, features], by name.
    """

    def __init__(self, model: Quantised):
        self.model = model
        self.tokens = 0
        self.cache = empty_cache(model.network, np.int64)

    def prefill(self, token_ids: Sequence[int]) -> Step:
        """Takes a whole prompt.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        features, traces = self.model.embed(token_ids, self.tokens), []
        for (graph, integers), cache in zip(self.model.stages, self.cache, strict=True):
            trace = run_graph(self.model.network, graph, integers, features, cache)
            extend_cache(cache, trace)
            features = trace[graph.output].astype(np.int16)
            traces.append(trace)
        self.tokens += len(features)
        return Step(tuple(traces[:-1]), traces[-1])

    def step(self, token: int) -> Step:
        """Takes the next token.

        Raises:
            InputError: for an id outside the vocabulary, and where all of the model's positions are taken.
        """
        return self.prefill([token])

    def offer(self, token_ids: Sequence[int], k: int = MAX_CANDIDATES) -> Candidates:
        """What the device offers the host after the next tokens, a prompt or one token: the ``k`` candidates, or the
        whole vocabulary where it is smaller.

        Raises:
            InputError: see `prefill` and `best_candidates`.
        """
        return best_candidates(self.prefill(token_ids).logits[-1], k)


def check_candidates(k: int) -> None:
    """Refuses numbers of candidates that the device does not offer.

    Raises:
        InputError: for a k outside of 1..64.
    """
    if not 1 <= k <= MAX_CANDIDATES:
        raise InputError(f"top-k must be 1 to {MAX_CANDIDATES}, not {k}")


def best_candidates(logits: np.ndarray, k: int) -> Candidates:
    """The ``k`` largest of a token's logits [vocabulary]; all of them where the vocabulary is smaller.

    Raises:
        InputError: for a k outside of 1..64.
    """
    check_candidates(k)
    ids = np.lexsort((np.arange(len(logits)), -np.asarray(logits, dtype=np.int64)))[:k]
    return Candidates(ids, np.asarray(logits, dtype=np.int64)[ids])


@dataclass(frozen=True)
class _Walk:
    """Computes operators and adds all that their kernels give to the ``trace``."""

    trace: Trace
    specs: Mapping[str, Any]
    edges: Mapping[str, Edge]
    integers: QuantisedGraph
    past: KeyValues | None

    def linear(self, operator: Linear) -> None:
        """Row quantiser, product, requantiser: ``rows_``, ``factors_`` and ``sums_NAME``, and the parts."""
        name, (quantise, requantise) = operator.name, self.specs[operator.name]
        rows, factors = quantise.reference(self.trace[operator.source], self.integers.limits[name])
        sums = exact_matmul(rows, self.integers.weights[name].T)
        self.trace.update({f"rows_{name}": rows, f"factors_{name}": _stacked(factors), f"sums_{name}": sums})
        factors = RowFactors(mantissa=factors.mantissa[:, None], exponent=factors.exponent[:, None])
        values = requantise.reference(sums, self.integers.channels[name], factors)
        cuts = np.cumsum([part.features for part in operator.parts])[:-1]
        for part, own in zip(operator.parts, np.split(values, cuts, axis=1), strict=True):
            bits = self.edges[part.name].bits
            self.trace[part.name] = own if bits == requantise.output_bits else saturate(own, bits, symmetric=True)

    def norm(self, operator: Norm) -> None:
        name = operator.name
        self.trace[name] = self.specs[name].reference(self.trace[operator.source], self.integers.norms[name])

    headnorm = norm

    def rotary(self, operator: Rotary) -> None:
        name, start = operator.name, tokens_before(self.past)
        self.trace[name] = self.specs[name].reference(self.trace[operator.source], self.integers.channels[name], start)

    def gate(self, operator: Gate) -> None:
        name, terms = operator.name, (self.trace[operator.gate], self.trace[operator.values])
        self.trace[name] = self.specs[name].reference(*terms, self.integers.channels[name])

    def attention(self, operator: Attention) -> None:
        keys, values = with_past(operator, self.trace, self.past)
        queries = self.trace[operator.queries]
        if len(self.specs[operator.name]) == 2:
            self._grouped_attention(operator, queries, keys, values)
            return
        name, (scores, softmax, sums, context) = operator.name, self.specs[operator.name]
        self.trace["scores"] = scores.reference(queries, keys)
        numerators, factors = softmax.reference(
            self.trace["scores"], self.integers.channels["scores"], position=len(keys) - len(queries)
        )
        weighted = sums.reference(numerators, values)
        self.trace.update({"numerators": numerators, f"factors_{name}": _stacked(factors), f"sums_{name}": weighted})
        factors = RowFactors(mantissa=factors.mantissa.T, exponent=factors.exponent.T)
        self.trace[name] = context.reference(weighted, self.integers.channels[name], factors)

    def _grouped_attention(
        self, operator: Attention, queries: np.ndarray, keys: np.ndarray, values: np.ndarray
    ) -> None:
        name, (own, context) = operator.name, self.specs[operator.name]
        found = own.reference(queries, keys, values, self.integers.channels["scores"])
        factors = found["factors"]
        names = {"rows": f"rows_{name}", "scores": "scores", "numerators": "numerators", "sums": f"sums_{name}"}
        self.trace.update({other: found[kind] for kind, other in names.items()})
        self.trace[f"factors_{name}"] = _stacked(factors)
        factors = RowFactors(mantissa=factors.mantissa.T, exponent=factors.exponent.T)
        self.trace[name] = context.reference(found["sums"], self.integers.channels[name], factors)

    def table(self, operator: Table) -> None:
        name = operator.name
        self.trace[name] = self.specs[name].reference(self.trace[operator.source], self.integers.tables[name])

    def add(self, operator: Add) -> None:
        name, terms = operator.name, (self.trace[operator.skip], self.trace[operator.branch])
        self.trace[name] = self.specs[name].reference(*terms, self.integers.channels[name])


def _stacked(factors: RowFactors) -> np.ndarray:
    """Row factors with mantissa and exponent on the last axis."""
    return np.stack([factors.mantissa, factors.exponent], axis=-1)
