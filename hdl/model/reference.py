"""The integer reference of a network, made of the kernels' references: the truth for the hardware."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..kernels.linear import exact_matmul
from ..kernels.parameters import RowFactors
from ..kernels.topk import MAX_CANDIDATES
from .architecture import Add, Attention, Graph, Linear, Norm, Operator, Table
from .keyvalues import KeyValues, empty_cache, extend_cache, with_past
from .lowering import NumericSpecs
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
    "run_head",
    "run_layer",
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
    return run_graph(network.layer, NumericSpecs.of(network.layer, True, network.max_positions), layer, tokens, past)


def run_head(model: Quantised, tokens: np.ndarray) -> Trace:
    """Every intermediate from the last layer's output [tokens, hidden] to the ``logits`` [tokens, vocabulary]."""
    graph = model.network.head
    assert graph, f"{model.network.name} has no head"
    assert model.head, f"{model.network.name} has no head"
    return run_graph(graph, NumericSpecs.of(graph, False, model.network.max_positions), model.head, tokens)


def run_graph(
    graph: Graph, specs: NumericSpecs, integers: QuantisedGraph, tokens: np.ndarray, past: KeyValues | None = None
) -> Trace:
    """Every intermediate of a graph for its input [tokens, features]."""
    trace = {graph.input: tokens}
    for operator in graph:
        OPERATORS[type(operator)](operator, trace, specs, integers, past)
    del trace[graph.input]
    return trace


class Candidates(NamedTuple):
    """The tokens with the largest logits: ``ids`` and ``logits``, int64 [k], largest first, the lower id first among
    equals."""

    ids: np.ndarray
    logits: np.ndarray


class Step(NamedTuple):
    """All integers of a run over some tokens: of each layer by `run_layer`, and of the head by `run_head`."""

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
        features, network = self.model.embed(token_ids, self.tokens), self.model.network
        layers = []
        for layer, cache in zip(self.model.layers, self.cache, strict=True):
            trace = run_layer(layer, features, network, cache)
            extend_cache(cache, trace)
            features = trace[network.layer.output].astype(np.int16)
            layers.append(trace)
        self.tokens += len(features)
        return Step(tuple(layers), run_head(self.model, features))

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


def _linear(
    operator: Linear, trace: Trace, specs: NumericSpecs, integers: QuantisedGraph, past: KeyValues | None
) -> None:
    """Row quantiser, product, requantiser: the trace has ``rows_``, ``factors_`` and ``sums_NAME`` before the parts."""
    name, (quantise, requantise) = operator.name, specs.of_linear(operator)
    rows, factors = quantise.reference(trace[operator.source], integers.limits[name])
    trace[f"rows_{name}"], trace[f"factors_{name}"] = rows, np.stack([factors.mantissa, factors.exponent], axis=-1)
    trace[f"sums_{name}"] = exact_matmul(rows, integers.weights[name].T)
    factors = RowFactors(mantissa=factors.mantissa[:, None], exponent=factors.exponent[:, None])
    values = requantise.reference(trace[f"sums_{name}"], integers.channels[name], factors)
    cuts = np.cumsum([part.features for part in operator.parts])[:-1]
    trace |= zip(operator.gives, np.split(values, cuts, axis=1), strict=True)


def _norm(operator: Norm, trace: Trace, specs: NumericSpecs, integers: QuantisedGraph, past: KeyValues | None) -> None:
    name = operator.name
    trace[name] = specs.of_norm(operator).reference(trace[operator.source], integers.norms[name])


def _attention(
    operator: Attention, trace: Trace, specs: NumericSpecs, integers: QuantisedGraph, past: KeyValues | None
) -> None:
    name, (scores, softmax, sums, context) = operator.name, specs.of_attention(operator)
    keys, values = with_past(operator, trace, past)
    queries = trace[operator.queries]
    trace["scores"] = scores.reference(queries, keys)
    start = len(keys) - len(queries)
    trace["numerators"], factors = softmax.reference(trace["scores"], integers.channels["scores"], position=start)
    trace[f"factors_{name}"] = np.stack([factors.mantissa, factors.exponent], axis=-1)
    trace[f"sums_{name}"] = sums.reference(trace["numerators"], values)
    factors = RowFactors(mantissa=factors.mantissa.T, exponent=factors.exponent.T)
    trace[name] = context.reference(trace[f"sums_{name}"], integers.channels[name], factors)


def _table(
    operator: Table, trace: Trace, specs: NumericSpecs, integers: QuantisedGraph, past: KeyValues | None
) -> None:
    name = operator.name
    trace[name] = specs.of_table(operator).reference(trace[operator.source], integers.tables[name])


def _add(operator: Add, trace: Trace, specs: NumericSpecs, integers: QuantisedGraph, past: KeyValues | None) -> None:
    name = operator.name
    terms = trace[operator.skip], trace[operator.branch]
    trace[name] = specs.of_add(operator).reference(*terms, integers.channels[name])


OPERATORS: dict[type[Operator], Callable[..., None]] = {
    Linear: _linear,
    Norm: _norm,
    Attention: _attention,
    Table: _table,
    Add: _add,
}
"""How each kind of operator is computed."""
