"""BERT in float32: what quantisation is calibrated on and measured against; and the operators that GPT-2 shares."""

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .spec import BertSpec, ModelSpec
from .weights import BertWeights, Dense, Embedding, LayerWeights, Norm

__all__ = ["attend", "check_tokens", "dense", "embed", "encode", "gelu", "normalise", "run_layer"]


def check_tokens(token_ids: Sequence[int], spec: ModelSpec, start: int = 0) -> np.ndarray:
    """The ids of a text's tokens as an array; ``start`` tokens of it went before.

    Raises:
        InputError: for no tokens, more than the model has positions for, and ids outside its vocabulary.
    """
    ids = np.asarray(token_ids, dtype=np.int64)
    if ids.ndim != 1 or not ids.size:
        raise InputError(f"text for model {spec.name!r} must have at least 1 token, not 0")
    if (tokens := start + len(ids)) > spec.max_positions:
        most = spec.max_positions
        raise InputError(f"text for model {spec.name!r} must have at most {most} tokens, not {tokens}; shorten it")
    if ids.min() < 0 or ids.max() >= spec.vocabulary:
        wrong = ids[(ids < 0) | (ids >= spec.vocabulary)][0]
        last = spec.vocabulary - 1
        raise InputError(
            f"token ids for model {spec.name!r} must be 0..{last}, not {wrong}; is it another tokeniser's?"
        )
    return ids


def embed(token_ids: Sequence[int], embedding: Embedding, spec: BertSpec) -> np.ndarray:
    """Features [tokens, hidden] of a text that is one segment (token type 0).

    Raises:
        InputError: see `check_tokens`.
    """
    ids = check_tokens(token_ids, spec)
    total = embedding.word[ids] + embedding.position[: len(ids)] + embedding.token_type[0]
    return normalise(total, embedding.norm, spec)


def run_layer(x: np.ndarray, layer: LayerWeights, spec: BertSpec) -> dict[str, np.ndarray]:
    """Every intermediate [tokens, features] of a layer for its input ``x``, by name, in the order of the data.

    The last, ``norm2``, is the layer's output. The integer reference's trace uses the same names.
    """
    trace = {"keys": dense(x, layer.key), "values": dense(x, layer.value), "queries": dense(x, layer.query)}
    trace["context"] = attend(trace["queries"], trace["keys"], trace["values"], spec.heads, causal=False)
    trace["projection"] = dense(trace["context"], layer.projection)
    trace["norm1"] = normalise(x + trace["projection"], layer.norm1, spec)
    trace["ffn1"] = dense(trace["norm1"], layer.ffn1)
    trace["activation"] = gelu(trace["ffn1"])
    trace["ffn2"] = dense(trace["activation"], layer.ffn2)
    trace["norm2"] = normalise(trace["norm1"] + trace["ffn2"], layer.norm2, spec)
    return trace


def encode(token_ids: Sequence[int], weights: BertWeights) -> np.ndarray:
    """The last layer's output [tokens, hidden] for a text.

    Raises:
        InputError: see `check_tokens`.
    """
    x = embed(token_ids, weights.embedding, weights.spec)
    for layer in weights.layers:
        x = run_layer(x, layer, weights.spec)["norm2"]
    return x


def gelu(x: np.ndarray) -> np.ndarray:
    """The exact GELU, x * (1 + erf(x / sqrt(2))) / 2, to 2e-7 of its argument."""
    # erf by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7: numpy has none.
    magnitude = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * magnitude)
    polynomial = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(coefficient)) * t
    erf = 1 - polynomial * np.exp(-magnitude * magnitude)
    return x * (1 + np.copysign(erf, x)) / 2


def attend(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int, *, causal: bool) -> np.ndarray:
    """Context [tokens, hidden] of queries [tokens, hidden] over keys and values [keys, hidden].

    ``causal``: a query sees only keys up to its own; the queries are those of the last tokens.
    """
    query, key, value = (t.reshape(len(t), heads, -1).transpose(1, 0, 2) for t in (query, key, value))
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
    if causal:
        queries, keys = scores.shape[1:]
        seen = np.arange(keys) <= np.arange(keys - queries, keys)[:, np.newaxis]
        scores = np.where(seen, scores, np.float32(-np.inf))
    numerators = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = numerators / numerators.sum(axis=-1, keepdims=True)
    return (probabilities @ value).transpose(1, 0, 2).reshape(query.shape[1], -1)


def dense(x: np.ndarray, operator: Dense) -> np.ndarray:
    """A linear operator on rows [tokens, inputs]."""
    return x @ operator.weight.T + operator.bias


def normalise(x: np.ndarray, norm: Norm, spec: ModelSpec) -> np.ndarray:
    """LayerNorm on rows [tokens, hidden]."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(spec.layer_norm_eps)) * norm.gamma + norm.beta
