"""A network in float32: what quantisation is calibrated on and measured against; at once, or token by token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from ..errors import InputError
from .architecture import Add, Attention, Gate, Graph, Linear, Norm, Rotary, Table
from .functions import FUNCTIONS
from .keyvalues import KeyValues, empty_cache, extend_cache, tokens_before, with_past
from .network import Network
from .rotary import turn
from .weights import Dense, NormWeights, Parameters, Weights

__all__ = [
    "FloatDecoder",
    "Trace",
    "attend",
    "check_tokens",
    "close",
    "dense",
    "embed",
    "embedded",
    "encode",
    "normalise",
    "run_graph",
]

Trace = dict[str, np.ndarray]
"""The tensors of a graph [tokens, features], by name, in the order of the data."""


def check_tokens(token_ids: Sequence[int], network: Network, start: int = 0) -> np.ndarray:
    """The ids of a text's tokens as an array; ``start`` tokens of it went before.

    Raises:
        InputError: for no tokens, more than the model has positions for, and ids outside its vocabulary.
    """
    ids = np.asarray(token_ids, dtype=np.int64)
    if ids.ndim != 1 or not ids.size:
        raise InputError(f"text for model {network.name!r} must have at least 1 token, not 0")
    if (tokens := start + len(ids)) > network.max_positions:
        most = network.max_positions
        raise InputError(f"text for model {network.name!r} must have at most {most} tokens, not {tokens}; shorten it")
    if ids.min() < 0 or ids.max() >= network.vocabulary:
        wrong = ids[(ids < 0) | (ids >= network.vocabulary)][0]
        last = network.vocabulary - 1
        raise InputError(
            f"token ids for model {network.name!r} must be 0..{last}, not {wrong}; is it another tokeniser's?"
        )
    return ids


def embed(token_ids: Any, weights: Weights, start: int = 0) -> np.ndarray:
    """Features [tokens, hidden] of tokens from position ``start`` on, all of kind 0; or of another input that the
    family embeds, such as an image.

    Raises:
        InputError: see `check_tokens`.
    """
    return embedded(token_ids, weights.network, weights.tables, weights.embedding, start)


def embedded(
    token_ids: Any, network: Network, tables: Mapping[str, np.ndarray], parameters: Parameters, start: int = 0
) -> np.ndarray:
    """`embed` with the tables and the parameters of the embedding's graph alone."""
    if network.traits.embed:
        return network.traits.embed(token_ids, tables, parameters, network)
    ids = check_tokens(token_ids, network, start)
    rows: dict[str, Any] = {"word": ids, "position": slice(start, start + len(ids)), "token_type": 0}
    total = reduce(np.add, (tables[name][rows[name]] for name in network.embedding.tables))
    graph = network.embedding.graph
    return run_graph(graph, total, parameters, network)[graph.output] if graph else total


def run_graph(
    graph: Graph, x: np.ndarray, parameters: Parameters, network: Network, past: KeyValues | None = None
) -> Trace:
    """Every tensor of a graph for its input ``x``, which is among them, by name. The integer reference's trace uses the
    same names. ``past``: keys and values [tokens before, features] of the tokens before."""
    trace = {graph.input: x}
    walk = _Walk(trace, parameters, network.norm_eps, past)
    for operator in graph:
        operator.visit(walk)
    return trace


def encode(token_ids: Any, weights: Weights) -> np.ndarray:
    """The output [tokens, hidden] of an encoder for a text, or for another input.

    Raises:
        InputError: see `check_tokens`.
    """
    x = embed(token_ids, weights)
    for layer in weights.layers:
        x = run_graph(weights.network.layer, x, layer, weights.network)[weights.network.layer.output]
    return close(x, weights.closing, weights.network)


def close(x: np.ndarray, parameters: Parameters, network: Network) -> np.ndarray:
    """What the host makes of the last layer's output [tokens, hidden]."""
    graph = network.closing
    return run_graph(graph, x, parameters, network)[graph.output] if graph else x


def attend(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int, *, kv_heads: int | None = None, causal: bool
) -> np.ndarray:
    """Context [tokens, features] of queries [tokens, features] over keys and values [keys, features].

    ``kv_heads``: heads of keys and values, each shared by as many heads of queries that stand side by side; by default
    each has its own. ``causal``: a query sees only keys up to its own; the queries are those of the last tokens.
    """
    tokens, shared = len(query), kv_heads or heads
    query = query.reshape(tokens, shared, heads // shared, -1).transpose(1, 2, 0, 3)
    key, value = (t.reshape(len(t), shared, 1, -1).transpose(1, 2, 0, 3) for t in (key, value))
    scores = query @ key.swapaxes(2, 3) / np.float32(np.sqrt(query.shape[-1]))
    if causal:
        queries, keys = scores.shape[2:]
        seen = np.arange(keys) <= np.arange(keys - queries, keys)[:, np.newaxis]
        scores = np.where(seen, scores, np.float32(-np.inf))
    numerators = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = numerators / numerators.sum(axis=-1, keepdims=True)
    return (probabilities @ value).transpose(2, 0, 1, 3).reshape(tokens, -1)


def dense(x: np.ndarray, operator: Dense) -> np.ndarray:
    """A linear operator on rows [tokens, inputs]."""
    return x @ operator.weight.T + operator.bias


def normalise(x: np.ndarray, norm: NormWeights, epsilon: float, *, root_mean_square: bool = False) -> np.ndarray:
    """LayerNorm, or RMSNorm, on rows [..., features]."""
    centred = x if root_mean_square else x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(epsilon)) * norm.gamma + norm.beta


class FloatDecoder:
    """A decoder with its KV cache: `extend` by a prompt, then by a token at a time, or in any other parts.

    Members: ``tokens``, the number of tokens that were taken.
    """

    def __init__(self, weights: Weights):
        self.weights = weights
        self.tokens = 0
        self._cache = empty_cache(weights.network, np.float32)

    def extend(self, token_ids: Sequence[int]) -> Trace:
        """The tensors of the head's graph for the next tokens: after the last norm, and the logits.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        x = embed(token_ids, self.weights, self.tokens)
        for stage, cache in zip(self.weights.stages, self._cache, strict=True):
            trace = run_graph(stage.graph, x, stage.parameters, self.weights.network, cache)
            extend_cache(cache, trace)
            x = trace[stage.graph.output]
        self.tokens += len(x)
        return trace


@dataclass(frozen=True)
class _Walk:
    """Computes operators and adds their results to the ``trace``."""

    trace: Trace
    parameters: Parameters
    epsilon: float
    past: KeyValues | None

    @property
    def start(self) -> int:
        """The position of the first token."""
        return tokens_before(self.past)

    def linear(self, operator: Linear) -> None:
        for part in operator.parts:
            self.trace[part.name] = dense(self.trace[operator.source], self.parameters[part.name])

    def norm(self, operator: Norm) -> None:
        own, rows = self.parameters[operator.name], self.trace[operator.source]
        heads = rows.reshape(*rows.shape[:-1], -1, operator.factors)
        found = normalise(heads, own, self.epsilon, root_mean_square=operator.root_mean_square)
        self.trace[operator.name] = found.reshape(rows.shape)

    headnorm = norm

    def attention(self, operator: Attention) -> None:
        keys, values = with_past(operator, self.trace, self.past)
        queries = self.trace[operator.queries]
        self.trace[operator.name] = attend(
            queries, keys, values, operator.heads, kv_heads=operator.kv_heads, causal=operator.causal
        )

    def rotary(self, operator: Rotary) -> None:
        rows = self.trace[operator.source]
        table = operator.angles.table(self.start, len(rows), operator.head_size)
        self.trace[operator.name] = turn(rows, *(one.astype(rows.dtype) for one in table))

    def table(self, operator: Table) -> None:
        self.trace[operator.name] = FUNCTIONS[operator.function].rows(self.trace[operator.source])

    def add(self, operator: Add) -> None:
        self.trace[operator.name] = self.trace[operator.skip] + self.trace[operator.branch]

    def gate(self, operator: Gate) -> None:
        self.trace[operator.name] = self.trace[operator.gate] * self.trace[operator.values]
