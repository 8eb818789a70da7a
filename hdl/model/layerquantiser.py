"""Quantises what the layers of all families have: linear units, attention and activation, between int16 streams.

Weights get a scale an output channel; queries and keys one a head, values one a feature, by their ranges on the
calibration texts; so do the int16 streams.

**Balance.** Some features of a LayerNorm's output are much larger than the others and leave them few of a row's 127
levels. So a feature's unit may be smaller where its values are small beside its weights: LayerNorm's factors and the
weights take that in.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from .gelu import INT16, UINT16, Gelu
from .quantised import QuantisedLayer
from .scaling import SUM_LIMIT, attention_scales, least_units, quantise_rows, requantise_channels
from .soundness import check_finite
from .spec import ModelSpec
from .weights import Dense, LayerWeights

__all__ = [
    "INT16",
    "MARGIN",
    "TINY",
    "LayerQuantiser",
    "Ranges",
    "Streams",
    "balance",
    "branch_biases",
    "free_units",
    "naming",
    "widen",
]

MARGIN = 1.25
"""How far beyond the range that calibration found the int16 formats reach."""

INT8 = (1 << 7) - 1
ROW_LEVELS, UNSIGNED_ROW_LEVELS = 127, 255

CONTEXT_FACTOR = 2.0**-22
"""The constant in a softmax's row factor."""

GELU_RANGE = 4.0
"""The least range of a GELU's table to either side, for layers whose calibration saw only small values."""

TINY = 1e-6
"""What stands for the range of values that are all 0."""

Ranges = dict[str, np.ndarray]
"""Each feature's largest magnitude by its name in a `run_layer`'s trace; its largest value for ``ffn1`` and for names
of several words."""

Rounding = Callable[[str, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a unit's name, real weights [outputs, inputs], and the units of its inputs [inputs], which the weights hold, to
int8 weights and their scales [outputs]."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The int16 streams around a layer's linear units.

    ``qkv`` and ``ffn1`` [hidden]: the real value of a unit of each feature that these take; ``qkv_range`` and
    ``ffn1_range`` [hidden] their largest magnitudes. ``projection`` and ``ffn2``: the units of these units' results.
    """

    qkv: np.ndarray
    qkv_range: np.ndarray
    projection: float
    ffn1: np.ndarray
    ffn1_range: np.ndarray
    ffn2: float


def widen(ranges: Ranges, trace: dict[str, np.ndarray], where: str) -> None:
    """Makes ``ranges`` hold the values of another text's trace too. ``where`` is named in errors.

    Raises:
        InputError: for values that are not finite.
    """
    for name, values in trace.items():
        check_finite(values, f"{where} {name}")
        largest = (values if name == "ffn1" or " " in name else np.abs(values)).max(axis=0).astype(np.float64)
        ranges[name] = np.maximum(ranges.get(name, largest), largest)


def branch_biases(layer: LayerWeights, gelu: Gelu) -> dict[str, np.ndarray]:
    """The biases of what is added to the residual stream, as a trace: that stream must hold them, even where the
    weights' sums nearly cancel them. In ``ffn2``'s is what its rows' zero, the GELU's least, makes of its weights."""
    ffn2 = layer.ffn2.bias + gelu.least * layer.ffn2.weight.sum(axis=1)
    return {"projection": layer.projection.bias[np.newaxis], "ffn2": ffn2[np.newaxis]}


def balance(features: np.ndarray, readers: Sequence[Dense]) -> np.ndarray:
    """How many powers of two features (their ranges) should be made smaller, and their weights greater, to suit both.

    Half of the way from equal features to equal weights, as SmoothQuant has it (https://arxiv.org/abs/2211.10438); 0
    on average.
    """
    columns = np.max([np.abs(dense.weight).max(axis=0) for dense in readers], axis=0)
    size = np.log2(np.maximum(features, TINY) / np.maximum(columns, TINY)) / 2
    return size - size.mean()


def free_units(features: np.ndarray, readers: Sequence[Dense]) -> np.ndarray:
    """The real values [features] of an int16 unit where every feature may have a scale of its own, for ``readers``."""
    factors = np.exp2(balance(features, readers))
    return factors * MARGIN * max((features / factors).max(), TINY) / INT16


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Says of which operator a number is out of range."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{where}: {error}; are these the weights of a trained model?") from None


class LayerQuantiser:
    """Quantises a layer's parts that lie between its ``streams``. ``where`` is named in errors.

    ``rounding`` makes integers of weights; without it they are rounded to the nearest.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: LayerWeights,
        ranges: Ranges,
        streams: Streams,
        gelu: Gelu,
        where: str,
        rounding: Rounding | None = None,
    ):
        self.spec, self.weights, self.ranges, self.streams = spec, weights, ranges, streams
        self.gelu, self.where = gelu, where
        self.rounding = rounding or (lambda _, weight, __: quantise_rows(weight))
        self.key_units, self.query_units = self._head_units("keys"), self._head_units("queries")
        self.value_units = self._int8_units("values")
        # Between value and projection a scale of its own for each feature costs nothing.
        self.context_units = np.maximum(
            free_units(ranges["context"], [weights.projection]),
            least_units(self.value_units * CONTEXT_FACTOR, np.zeros(spec.hidden)),
        )
        self.ffn1_bias, self.ffn1_unit = self._ffn1_scale()
        self.table, self.activation_unit = gelu.table(self.ffn1_unit)

    def _int8_units(self, name: str) -> np.ndarray:
        """The real value [hidden] of a unit of each key, value or query; their words hold their weights and biases."""
        own = {"keys": self.weights.key, "values": self.weights.value, "queries": self.weights.query}[name]
        return np.maximum(np.maximum(self.ranges[name], TINY) / INT8, _least(own, self.streams.qkv))

    def _head_units(self, name: str) -> np.ndarray:
        return self._int8_units(name).reshape(self.spec.heads, -1).max(axis=1)

    def _ffn1_scale(self) -> tuple[np.ndarray, float]:
        """Biases [intermediate] and the real value of a unit of what the GELU takes.

        A bias that the range does not hold is raised by what makes no difference, where the GELU remains 0.
        """
        dense, largest = self.weights.ffn1, self.ranges["ffn1"]
        reach = max(MARGIN * largest.max(), GELU_RANGE)
        raised = dense.bias + np.maximum(-GELU_RANGE - largest, 0)
        bias = np.where(np.abs(dense.bias) > reach, raised, dense.bias)
        return bias, max(reach / INT16, float(_least(Dense(dense.weight, bias), self.streams.ffn1).max()))

    def layer(self, *, static: bool, **others: ChannelParameters | NormParameters) -> QuantisedLayer:
        """The layer, with the ``others``' words: residual additions and LayerNorms.

        ``static``: the row quantisers use the ranges that calibration found, instead of each row's own maximum.
        """
        qkv_weight, qkv = self._qkv()
        projection_weight, projection = self._linear(
            "projection", self.weights.projection, self.context_units, self.streams.projection
        )
        ffn1_weight, ffn1 = self._linear(
            "ffn1", Dense(self.weights.ffn1.weight, self.ffn1_bias), self.streams.ffn1, self.ffn1_unit
        )
        ffn2_weight, ffn2 = self._ffn2()
        with naming(f"{self.where} scores"):
            scores = attention_scales(self.query_units * self.key_units / sqrt(self.spec.head_size))
        with naming(f"{self.where} context"):
            context = requantise_channels(
                self.value_units * CONTEXT_FACTOR / self.context_units, np.zeros(self.spec.hidden)
            )
        words: dict[str, Any] = others
        return QuantisedLayer(
            qkv_weight=qkv_weight,
            projection_weight=projection_weight,
            ffn1_weight=ffn1_weight,
            ffn2_weight=ffn2_weight,
            qkv=qkv,
            scores=scores,
            context=context,
            projection=projection,
            ffn1=ffn1,
            ffn2=ffn2,
            activation=self.table,
            limits=self._limits() if static else (0, 0, 0, 0),
            **words,
        )

    def _limits(self) -> tuple[int, int, int, int]:
        """What the rows' maxima were at most in front of the linear units."""
        activated = max(self.gelu.function(float(self.ranges["ffn1"].max())), 0.0) - self.gelu.least
        largest = (
            (self.streams.qkv_range / self.streams.qkv).max(),
            (self.ranges["context"] / self.context_units).max(),
            (self.streams.ffn1_range / self.streams.ffn1).max(),
            activated / self.activation_unit,
        )
        qkv, projection, ffn1, ffn2 = (max(1, int(np.ceil(value))) for value in largest)
        return min(qkv, INT16), min(projection, INT16), min(ffn1, INT16), min(ffn2, UINT16)

    def _qkv(self) -> tuple[np.ndarray, ChannelParameters]:
        parts = (self.weights.key, self.weights.value, self.weights.query)
        dense = Dense(np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts]))
        keys, queries = (np.repeat(units, self.spec.head_size) for units in (self.key_units, self.query_units))
        return self._linear("qkv", dense, self.streams.qkv, np.concatenate([keys, self.value_units, queries]))

    def _linear(
        self, unit: str, dense: Dense, input_units: np.ndarray, output_units: np.ndarray | float
    ) -> tuple[np.ndarray, ChannelParameters]:
        """int8 weights and channel words of a unit with signed rows; its sums fit with 4,096 terms."""
        integers, scale = self.rounding(unit, dense.weight * input_units, input_units)
        with naming(f"{self.where} {unit}"):
            return integers, requantise_channels(scale / ROW_LEVELS / output_units, dense.bias / output_units)

    def _ffn2(self) -> tuple[np.ndarray, ChannelParameters]:
        """int8 weights and channel words of the unit whose rows are unsigned, less 128, where 0 means the GELU's
        least."""
        dense, output_unit, least = self.weights.ffn2, self.streams.ffn2, self.gelu.least
        integers, scale = self.rounding("ffn2", dense.weight, np.ones(self.spec.intermediate))
        wide = integers.astype(np.int64)
        reach = np.maximum(np.maximum(wide, 0).sum(axis=1), np.maximum(-wide, 0).sum(axis=1)) * UNSIGNED_ROW_LEVELS
        if reach.max() >= SUM_LIMIT:
            sums = f"{self.where} ffn2: sums of output {reach.argmax()}"
            raise InputError(f"{sums} must stay below {SUM_LIMIT}, but can reach {reach.max()}")
        column_sum = wide.sum(axis=1)
        bias = dense.bias + least * scale * column_sum
        gain = scale * self.activation_unit / UNSIGNED_ROW_LEVELS
        with naming(f"{self.where} ffn2"):
            return integers, requantise_channels(gain / output_unit, bias / output_unit, column_sum)


def _least(dense: Dense, input_units: np.ndarray) -> np.ndarray:
    """The least real values [outputs] of a unit of what a linear unit with signed rows gives."""
    scale = np.abs(dense.weight * input_units).max(axis=1) / INT8
    return least_units(MARGIN * scale / ROW_LEVELS, dense.bias)
