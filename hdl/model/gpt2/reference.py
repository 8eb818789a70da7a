"""The integer reference of the whole decoder, made of the kernels' references: the truth for the hardware."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ...kernels.requantise import RequantiseSpec
from ...kernels.rowquantise import RowQuantiseSpec
from ..quantised import QuantisedLayer
from ..spec import Gpt2Spec
from ..units import SUM_BITS, Trace, Units, linear
from .quantised import QuantisedGpt2

__all__ = ["MAX_CANDIDATES", "Decoder", "Step", "TopK", "check_candidates", "run_head", "run_layer", "top_k"]

MAX_CANDIDATES = 64
"""The most tokens that the device offers the host."""


class TopK(NamedTuple):
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

    Members: ``model``; ``tokens``, the number of tokens that were taken; ``keys`` and ``values`` of each layer, int8
    [tokens, hidden].
    """

    def __init__(self, model: QuantisedGpt2):
        self.model = model
        self.tokens = 0
        empty = np.zeros((0, model.spec.hidden), dtype=np.int64)
        self.keys, self.values = [empty] * model.spec.layers, [empty] * model.spec.layers

    def prefill(self, token_ids: Sequence[int]) -> Step:
        """Takes a whole prompt.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        features = self.model.embed(token_ids, self.tokens)
        layers = []
        for index, layer in enumerate(self.model.layers):
            trace = run_layer(layer, features, self.model.spec, self.keys[index], self.values[index])
            self.keys[index] = np.concatenate([self.keys[index], trace["keys"]])
            self.values[index] = np.concatenate([self.values[index], trace["values"]])
            features = trace["residual2"].astype(np.int16)
            layers.append(trace)
        self.tokens += len(features)
        return Step(tuple(layers), run_head(self.model, features))

    def step(self, token: int) -> Step:
        """Takes the next token.

        Raises:
            InputError: for an id outside the vocabulary, and where all of the model's positions are taken.
        """
        return self.prefill([token])

    def offer(self, token_ids: Sequence[int], k: int = MAX_CANDIDATES) -> TopK:
        """What the device offers the host behind the next tokens, a prompt or one token: the ``k`` candidates, or the
        whole vocabulary where it is smaller.

        Raises:
            InputError: see `prefill` and `top_k`.
        """
        return top_k(self.prefill(token_ids).logits[-1], k)


def run_layer(layer: QuantisedLayer, tokens: np.ndarray, spec: Gpt2Spec, keys: np.ndarray, values: np.ndarray) -> Trace:
    """Every intermediate of a layer for its input [tokens, hidden], behind tokens of which it has ``keys`` and
    ``values`` [tokens before, hidden]; ``residual2`` is its output."""
    units, trace = Units.of(spec), Trace()
    trace["norm1"] = units.norm.reference(tokens, layer.norm1)
    units.project(trace, layer, trace["norm1"])
    units.attend(trace, layer, np.concatenate([keys, trace["keys"]]), np.concatenate([values, trace["values"]]))
    trace["residual1"] = units.residual.reference(tokens, trace["projection"], layer.residual1)
    trace["norm2"] = units.norm.reference(trace["residual1"], layer.norm2)
    units.feed_forward(trace, layer, trace["norm2"])
    trace["residual2"] = units.residual.reference(trace["residual1"], trace["ffn2"], layer.residual2)
    return trace


def run_head(model: QuantisedGpt2, tokens: np.ndarray) -> Trace:
    """Every intermediate from the last layer's output [tokens, hidden] to the ``logits`` [tokens, vocabulary]."""
    trace = Trace(norm=Units.of(model.spec).norm.reference(tokens, model.norm))
    linear(trace, "head", _head(model.spec), trace["norm"], model.head_weight, model.head, model.head_limit)
    trace["logits"] = trace.pop("head")
    return trace


def check_candidates(k: int) -> None:
    """Refuses numbers of candidates that the device does not offer.

    Raises:
        InputError: for a k outside of 1..64.
    """
    if not 1 <= k <= MAX_CANDIDATES:
        raise InputError(f"top-k must be 1 to {MAX_CANDIDATES}, not {k}")


def top_k(logits: np.ndarray, k: int) -> TopK:
    """The ``k`` largest of a token's logits [vocabulary]; all of them where the vocabulary is smaller.

    Raises:
        InputError: for a k outside of 1..64.
    """
    check_candidates(k)
    ids = np.lexsort((np.arange(len(logits)), -np.asarray(logits, dtype=np.int64)))[:k]
    return TopK(ids, np.asarray(logits, dtype=np.int64)[ids])


@cache
def _head(spec: Gpt2Spec) -> tuple[RowQuantiseSpec, RequantiseSpec]:
    """The kernels of the head; their geometry, which has no part in the numbers, is the simplest."""
    return (
        RowQuantiseSpec(rows=1, lanes=1, features=spec.hidden, unsigned=False),
        RequantiseSpec(
            rows=1,
            lanes=1,
            channels=spec.vocabulary,
            group=spec.vocabulary,
            sum_bits=SUM_BITS,
            output_bits=16,
            symmetric=False,
            zero_point=False,
        ),
    )
