"""The words of parameters: one of 64 bits for each output channel, and the factor of a row."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from ..fixed import limits, round_shift, saturate

__all__ = [
    "BIAS_FRACTION",
    "COLUMN_SUM_SHIFT",
    "Block",
    "ChannelParameters",
    "ChannelWord",
    "RowFactor",
    "RowFactors",
    "finish",
]

BIAS_FRACTION = 4
"""Fraction bits of a bias, in units of the output's last place."""

COLUMN_SUM_SHIFT = 7
"""A zero point of 128 = 2**7 adds 128 times the sum of a channel's weights."""

SCALED_BITS = 24
"""Bits of a scaled sum, which is saturated to them before its bias is added."""

RowFactor = data.StructLayout({"mantissa": unsigned(17), "exponent": unsigned(5)})
"""A row's scale, ``mantissa * 2**-exponent``."""

ChannelWord = data.StructLayout(
    {"factor": signed(18), "shift": unsigned(6), "bias": signed(20), "column_sum": signed(20)}
)
"""The parameters of an output channel: 64 bits, first field lowest."""

FIELDS = {name: (field.offset, Shape.cast(field.shape)) for name, field in ChannelWord}
"""First bit and shape of each field."""


class Block(NamedTuple):
    """The parameters that a unit takes at one of its members in a layer: 64-bit ``words``, ``lanes`` in a beat. They
    are read again for each tile; a ``table`` is taken once, as a whole."""

    words: int
    lanes: int
    table: bool = False


@dataclass(frozen=True, kw_only=True)
class RowFactors:
    """Row factors as integer arrays of one shape."""

    mantissa: np.ndarray
    exponent: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ChannelParameters:
    """The parameters of all channels of an operator: int64 arrays of one shape [channels], within their fields' ranges.

    Raises:
        ValueError: for a value that does not fit its field.
    """

    factor: np.ndarray
    shift: np.ndarray
    bias: np.ndarray
    column_sum: np.ndarray

    def __post_init__(self) -> None:
        for name, (_, shape) in FIELDS.items():
            values = np.asarray(getattr(self, name), dtype=np.int64)
            object.__setattr__(self, name, values)
            low, high = limits(shape.width, is_signed=shape.signed)
            if values.size and not (low <= values.min() and values.max() <= high):
                wrong = values[(values < low) | (values > high)].flat[0]
                raise ValueError(f"channel {name} must be {low}..{high}, not {wrong}")

    def words(self) -> np.ndarray:
        """The 64-bit words, uint64 [channels]."""
        word = np.zeros(self.factor.shape, dtype=np.uint64)
        for name, (offset, shape) in FIELDS.items():
            field = getattr(self, name).astype(np.uint64) & np.uint64((1 << shape.width) - 1)
            word |= field << np.uint64(offset)
        return word

    @classmethod
    def from_words(cls, words: np.ndarray) -> Self:
        """The inverse of `words`."""
        words, fields = np.asarray(words, dtype=np.uint64), {}
        for name, (offset, shape) in FIELDS.items():
            bits = shape.width
            field = ((words >> np.uint64(offset)) & np.uint64((1 << bits) - 1)).astype(np.int64)
            fields[name] = np.where(field >> (bits - 1), field - (1 << bits), field) if shape.signed else field
        return cls(**fields)


def finish(
    value: np.ndarray, shift: np.ndarray, bias: np.ndarray, output_bits: int, *, symmetric: bool = False
) -> np.ndarray:
    """The end of every scaling: shift, add the bias (which has `BIAS_FRACTION` fraction bits), round, saturate."""
    scaled = saturate(round_shift(value, shift), SCALED_BITS)
    return saturate(round_shift(scaled + bias, BIAS_FRACTION), output_bits, symmetric=symmetric)
