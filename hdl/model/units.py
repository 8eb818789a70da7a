"""The integers of the units for which there is no hardware yet: RMSNorm, rotary positions, gates, the transform before
a row quantiser, and attention whose queries have factors of their own and whose heads share keys and values.

Each is what hardware can compute: exact sums and products of integers, shifts, and the formats of the other kernels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..fixed import round_shift, saturate
from ..kernels.layernorm import NORM_OUTPUT_BITS, LayerNormSpec
from ..kernels.linear import exact_matmul
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters, RowFactors, finish
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.rowstatistics import NORMALISED_BITS
from ..kernels.softmax_parts import RowReciprocals
from .hadamard import spread
from .rotary import Angles

__all__ = [
    "EXPONENTIAL_STEPS",
    "ROTARY_FRACTION",
    "GateSpec",
    "GroupedAttentionSpec",
    "RMSNormSpec",
    "RotarySpec",
    "SpreadRowsSpec",
]

ROTARY_FRACTION = 15
"""Fraction bits of cosines and sines, of which 1 is the greatest integer of 16 bits."""

NUMERATOR_ONE = 1023
"""The numerator of the largest score of a row: 10 bits."""

EXPONENTIAL_STEPS = 64
"""Entries of the table from a numerator to the one that is e times smaller."""

EXPONENTIALS = np.floor(NUMERATOR_ONE * np.exp(-np.arange(512) / EXPONENTIAL_STEPS) + 0.5).astype(np.int64)
"""Numerators by index. The last are 0."""

MANTISSA_SHIFT, MOST_SHIFT = 16, 62
"""Bits by which the product of a head's factor and a query's mantissa is shortened; the greatest shift of all."""

SUM_BITS = 27
"""Of the weighted sums that the requantiser takes."""


@dataclass(frozen=True, kw_only=True)
class RMSNormSpec(LayerNormSpec):
    """As `LayerNormSpec`, without the mean; of ``heads`` parts of a row, each by itself."""

    heads: int = 1

    def reference(self, values: np.ndarray, parameters: NormParameters) -> np.ndarray:
        """See `LayerNormSpec.reference`."""
        x, channels = np.asarray(values, dtype=np.int64), parameters.channels
        x = x.reshape(len(x), self.heads, self.features)
        squares = (x * x).sum(axis=-1)
        row = self.statistics.reference(np.zeros_like(squares), squares, parameters.epsilon)
        _, reciprocal, places = (field[..., None] for field in row)
        normalised = saturate(round_shift((x << 4) * reciprocal, places), NORMALISED_BITS)
        found = finish(normalised * channels.factor, channels.shift, channels.bias, NORM_OUTPUT_BITS)
        return found.reshape(len(x), -1)


@dataclass(frozen=True, kw_only=True)
class SpreadRowsSpec:
    """A row quantiser of rows whose ``block``s of features are spread first: see `spread`. The sums are shortened by
    half of their growth in bits, and saturated to 16 bits."""

    block: int
    quantise: RowQuantiseSpec

    @property
    def places(self) -> int:
        """Bits by which the sums are shortened."""
        return (self.block.bit_length() - 1) // 2

    @property
    def gain(self) -> float:
        """What one last place of the spread values is, in last places of the values and a rotation's unit length."""
        return float((1 << self.places) / np.sqrt(self.block))

    def reference(self, values: np.ndarray, limit: np.ndarray | int = 0) -> tuple[np.ndarray, RowFactors]:
        """See `RowQuantiseSpec.reference`."""
        sums = spread(np.asarray(values, dtype=np.int64), self.block)
        return self.quantise.reference(saturate(round_shift(sums, self.places), 16), limit)


@dataclass(frozen=True, kw_only=True)
class RotarySpec:
    """Rotary positions of heads of ``head_size`` features by tables of 16 bits; results of ``output_bits``."""

    angles: Angles
    head_size: int
    output_bits: int

    def reference(self, values: np.ndarray, channels: ChannelParameters, start: int) -> np.ndarray:
        """Turned values [tokens, features] of int16 values; ``channels`` [heads] have the shifts after the products.
        The first token has the position ``start``."""
        one = (1 << ROTARY_FRACTION) - 1
        cosines, sines = (
            np.rint(table * one).astype(np.int64)[:, None]
            for table in self.angles.table(start, len(values), self.head_size)
        )
        pairs = np.asarray(values, dtype=np.int64).reshape(len(values), -1, self.head_size // 2, 2)
        first, second = pairs[..., 0], pairs[..., 1]
        turned = np.stack([first * cosines - second * sines, second * cosines + first * sines], axis=-1)
        found = round_shift(turned, channels.shift[:, None, None])
        return saturate(found, self.output_bits, symmetric=self.output_bits == 8).reshape(values.shape)


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """Products of activated values, which are unsigned with a zero point, and others."""

    def reference(self, activated: np.ndarray, values: np.ndarray, channels: ChannelParameters) -> np.ndarray:
        """int16 products of two tensors of 16 bits. ``channels`` have one word: the bias is the zero point of the
        activated values, the shift is that of the products."""
        product = (np.asarray(activated, dtype=np.int64) - channels.bias) * np.asarray(values, dtype=np.int64)
        return saturate(round_shift(product, channels.shift), 16)


@dataclass(frozen=True, kw_only=True)
class GroupedAttentionSpec:
    """Causal attention of ``heads`` heads of queries that share ``kv_heads`` heads of keys and values. Each query has a
    factor of its own, and numerators have 10 bits."""

    heads: int
    kv_heads: int
    head_size: int
    max_length: int

    @property
    def queries(self) -> RowQuantiseSpec:
        """What makes int8 of the queries of a head."""
        return RowQuantiseSpec(rows=1, lanes=1, features=self.head_size, unsigned=False)

    @property
    def sum_bits(self) -> int:
        """Width of a row's sum of numerators."""
        return (NUMERATOR_ONE * self.max_length).bit_length()

    @property
    def places(self) -> int:
        """Bits by which the weighted sums are shortened, so that they have `SUM_BITS`."""
        return max(0, self.sum_bits + 8 - SUM_BITS)

    def reference(
        self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, scales: ChannelParameters
    ) -> dict[str, Any]:
        """All integers between the tensors of int16 queries, int8 keys and int8 values [tokens, features], and the
        weighted sums with their factors. ``scales`` [heads]: the factor and the shift from scores to exponents. The
        queries are those of the last tokens."""
        tokens, group = len(queries), self.heads // self.kv_heads
        rows, factors = self.queries.reference(queries.reshape(tokens * self.heads, -1))
        rows = rows.reshape(tokens, self.heads, -1).transpose(1, 0, 2)
        mantissa, exponent = (field.reshape(tokens, self.heads).T for field in (factors.mantissa, factors.exponent))
        keys, values = (
            np.repeat(x.reshape(len(x), self.kv_heads, -1), group, axis=1).transpose(1, 0, 2) for x in (keys, values)
        )
        scores = exact_matmul(rows, keys.transpose(0, 2, 1))
        numerators = self._numerators(scores, mantissa, exponent, scales)
        sums = round_shift(exact_matmul(numerators, values), self.places).transpose(1, 0, 2).reshape(tokens, -1)
        totals = RowReciprocals.reference(numerators.sum(axis=-1), self.sum_bits)
        return {"rows": rows, "scores": scores, "numerators": numerators, "sums": sums, "factors": totals}

    def _numerators(
        self, scores: np.ndarray, mantissa: np.ndarray, exponent: np.ndarray, scales: ChannelParameters
    ) -> np.ndarray:
        """Of scores [heads, queries, keys] whose queries have factors [heads, queries]."""
        queries, keys = scores.shape[1:]
        seen = np.arange(keys) <= np.arange(keys - queries, keys)[:, np.newaxis]
        maximum = np.where(seen, scores, -(1 << 26)).max(axis=-1, keepdims=True)
        factor = round_shift(scales.factor[:, None] * mantissa, MANTISSA_SHIFT)[..., None]
        shift = np.clip(scales.shift[:, None] + exponent - MANTISSA_SHIFT, 0, MOST_SHIFT)[..., None]
        index = round_shift(np.where(seen, maximum - scores, 0) * factor, shift)
        return np.where(seen, EXPONENTIALS[np.minimum(index, len(EXPONENTIALS) - 1)], 0)
