"""GPT-2 in float32: what quantisation is calibrated on and measured against; at once, or token by token."""

from collections.abc import Sequence

import numpy as np

from ..floating import attend, check_tokens, dense, normalise
from ..spec import Gpt2Spec
from ..weights import LayerWeights
from .weights import Gpt2Weights

__all__ = ["FloatDecoder", "embed", "gelu", "run_layer"]

Trace = dict[str, np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
    """The GELU's tanh form, x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: equation 2 of arXiv 1606.08415."""
    root = np.float32(np.sqrt(2 / np.pi)) if x.dtype == np.float32 else np.sqrt(2 / np.pi)
    return x * (1 + np.tanh(root * (x + x.dtype.type(0.044715) * x * x * x))) / 2


def embed(token_ids: Sequence[int], weights: Gpt2Weights, start: int = 0) -> np.ndarray:
    """Features [tokens, hidden] of tokens from position ``start`` on.

    Raises:
        InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
    """
    ids = check_tokens(token_ids, weights.spec, start)
    return weights.word[ids] + weights.position[start : start + len(ids)]


def run_layer(x: np.ndarray, layer: LayerWeights, spec: Gpt2Spec, past: Trace | None = None) -> Trace:
    """Every intermediate [tokens, features] of a layer for its input ``x``, by name, in the order of the data.

    ``past``: ``keys`` and ``values`` [tokens before, hidden] of the tokens before. The last, ``residual2``, is the
    layer's output. The integer reference's trace uses the same names.
    """
    normalised = normalise(x, layer.norm1, spec)
    trace = {"norm1": normalised, "keys": dense(normalised, layer.key), "values": dense(normalised, layer.value)}
    trace["queries"] = dense(normalised, layer.query)
    keys, values = trace["keys"], trace["values"]
    if past is not None:
        keys, values = np.concatenate([past["keys"], keys]), np.concatenate([past["values"], values])
    trace["context"] = attend(trace["queries"], keys, values, spec.heads, causal=True)
    trace["projection"] = dense(trace["context"], layer.projection)
    trace["residual1"] = x + trace["projection"]
    trace["norm2"] = normalise(trace["residual1"], layer.norm2, spec)
    trace["ffn1"] = dense(trace["norm2"], layer.ffn1)
    trace["activation"] = gelu(trace["ffn1"])
    trace["ffn2"] = dense(trace["activation"], layer.ffn2)
    trace["residual2"] = trace["residual1"] + trace["ffn2"]
    return trace


class FloatDecoder:
    """A decoder with its KV cache: `extend` by a prompt, then by a token at a time, or in any other parts.

    Members: ``tokens``, the number of tokens that were taken.
    """

    def __init__(self, weights: Gpt2Weights):
        self.weights = weights
        self.tokens = 0
        self._cache: list[Trace] = [
            {name: np.zeros((0, weights.spec.hidden), dtype=np.float32) for name in ("keys", "values")}
            for _ in weights.layers
        ]

    def extend(self, token_ids: Sequence[int]) -> np.ndarray:
        """The last hidden state [tokens, hidden], behind the last LayerNorm, of the next tokens.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        weights, spec = self.weights, self.weights.spec
        x = embed(token_ids, weights, self.tokens)
        for layer, cache in zip(weights.layers, self._cache, strict=True):
            trace = run_layer(x, layer, spec, cache)
            for name, past in cache.items():
                cache[name] = np.concatenate([past, trace[name]])
            x = trace["residual2"]
        self.tokens += len(x)
        return normalise(x, weights.norm, spec)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits [tokens, vocabulary] of a last hidden state [tokens, hidden]."""
        return features @ self.weights.word.T
