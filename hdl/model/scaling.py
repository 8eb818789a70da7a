"""Real scale factors as the integers of channel words, with their ranges kept."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from ..kernels.layernorm import LayerNormSpec
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import BIAS_FRACTION, ChannelParameters
from ..kernels.requantise import REQUANTISE_FACTOR_BITS
from ..kernels.softmax_row import EXPONENTIAL_STEPS, SCORE_FACTOR_BITS
from .weights import Dense

__all__ = [
    "INT16",
    "LEVELS",
    "MARGIN",
    "SUM_LIMIT",
    "TINY",
    "attention_scales",
    "balance",
    "free_scales",
    "least_norm_scales",
    "least_scales",
    "norm_parameters",
    "quantise_rows",
    "requantise_channels",
    "safe_scales",
    "shift_channels",
]

MARGIN = 1.25
"""How far beyond the range that calibration found the int16 formats reach."""

INT16 = (1 << 15) - 1

TINY = 1e-6
"""What stands for the range of values that are all 0."""

LEVELS = 127
"""The greatest magnitude of an int8 weight."""

MAX_SHIFT = 47
"""The greatest shift of a requantiser's channel: with the greatest exponent of a row, 15, it stays below 63."""

GAIN_LIMIT = 2.0**-BIAS_FRACTION * (1 - 2.0**-REQUANTISE_FACTOR_BITS)
"""The greatest gain of a requantiser's channel: all bits of the factor set, and no shift."""

BIAS_LIMIT = (1 << 15) - 1
"""The greatest bias, in units of the output's last place."""

NORM_FACTOR_BITS = 17
"""Bits of LayerNorm's factor, gamma, beside its sign."""

MAX_NORM_SHIFT = 62

NORM_GAIN_LIMIT = 2.0 ** (NORM_FACTOR_BITS - BIAS_FRACTION) * (1 - 2.0**-NORM_FACTOR_BITS)
"""As `GAIN_LIMIT`, of a LayerNorm's channel."""

INTEGER_LIMIT = 2.0**62
"""What becomes an integer is below this."""

SUM_LIMIT = 1 << 26
"""Sums are signed 27 bits."""

ROW_REACH, ROW_LEVELS = 128, 255
"""The greatest magnitude in a quantised row, and of an unsigned one before 128 was taken off."""


def balance(features: np.ndarray, readers: Sequence[Dense]) -> np.ndarray:
    """How many powers of two features (their ranges) should be made smaller, and their weights greater, to suit both.

    Half of the way from equal features to equal weights, as SmoothQuant has it (https://arxiv.org/abs/2211.10438); 0
    on average.
    """
    columns = np.max([np.abs(dense.weight).max(axis=0) for dense in readers], axis=0)
    size = np.log2(np.maximum(features, TINY) / np.maximum(columns, TINY)) / 2
    return size - size.mean()


def free_scales(features: np.ndarray, readers: Sequence[Dense]) -> np.ndarray:
    """The scales [features] of int16 values where every feature may have a scale of its own, for ``readers``."""
    factors = np.exp2(balance(features, readers))
    return factors * MARGIN * max((features / factors).max(), TINY) / INT16


def quantise_rows(weight: np.ndarray, *, least: np.ndarray | float = 0) -> tuple[np.ndarray, np.ndarray]:
    """int8 weights [outputs, inputs] and their scales [outputs], for real ones: the largest of a row becomes 127.

    A row of zeros has scale 0; no scale is below ``least``.

    Raises:
        ValueError: for weights that are not finite.
    """
    weight = np.asarray(weight, dtype=np.float64)
    _check_finite("weights", weight)
    scale = np.maximum(np.abs(weight).max(axis=1) / LEVELS, least)
    return np.rint(weight / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8), scale


def safe_scales(weight: np.ndarray) -> np.ndarray:
    """The least scales [outputs] of integer weights whose sums fit `SUM_LIMIT` whatever the rows, for real ones
    [outputs, inputs].

    They fit where 128 sum|w| does, and with a zero point where 255 times the weights of either sign do; each weight's
    rounding may add a half to its sum.
    """
    positive, negative = np.maximum(weight, 0).sum(axis=1), np.maximum(-weight, 0).sum(axis=1)
    rounding = weight.shape[1] / 2
    plain = (positive + negative) / ((SUM_LIMIT - 1) / ROW_REACH - rounding)
    return np.maximum(plain, np.maximum(positive, negative) / ((SUM_LIMIT - 1) / ROW_LEVELS - rounding))


def normalised(gain: np.ndarray, bits: int, fraction: int, max_shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of ``bits`` bits, the highest set, and shifts: ``gain`` (0 or more) is factor * 2**-(fraction + shift).

    Gains too small for the greatest shift get factors with fewer bits, at last 0.

    Raises:
        ValueError: for a gain that is not finite, or too great for shift 0.
    """
    _check_finite("gain", gain)
    # A gain is in [2**(exponent - 1), 2**exponent); for 0 any shift will do.
    exponent = np.where(gain > 0, np.frexp(gain)[1], bits - fraction)
    shift = np.minimum(bits - fraction - exponent, max_shift)
    factor = np.rint(np.ldexp(gain, fraction + shift)).astype(np.int64)
    # Rounding may reach the next power of two.
    over = factor >> bits > 0
    shift, factor = shift - over, np.where(over, factor >> 1, factor)
    if shift.min() < 0:
        raise ValueError(f"gain must be below {2.0 ** (bits - fraction):g}, not {gain.max():g}")
    return factor, shift.astype(np.int64)


def requantise_channels(gain: np.ndarray, bias: np.ndarray, column_sum: np.ndarray | int = 0) -> ChannelParameters:
    """Channels that make ``sum * row factor * gain + bias``, in units of the output's last place, of a sum.

    Raises:
        ValueError: for a gain or a bias beyond the words' ranges.
    """
    factor, shift = normalised(gain, REQUANTISE_FACTOR_BITS, REQUANTISE_FACTOR_BITS + BIAS_FRACTION, MAX_SHIFT)
    return ChannelParameters(
        factor=factor,
        shift=shift,
        bias=_fixed_bias(bias),
        column_sum=np.broadcast_to(column_sum, gain.shape).astype(np.int64),
    )


def least_scales(gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The least scales of the output with which a requantiser's words hold a real ``gain`` and
    ``bias``."""
    least: np.ndarray = np.maximum(gain / GAIN_LIMIT, np.abs(bias) / BIAS_LIMIT)
    return least


def attention_scales(gain: np.ndarray, steps: int = EXPONENTIAL_STEPS) -> ChannelParameters:
    """A softmax's words [heads], for the ``gain`` from its integer scores to those that are exponentiated. ``steps``:
    entries of its table of exponentials from one to that which is e times smaller.

    Raises:
        ValueError: for a gain beyond the words' range.
    """
    factor, shift = normalised(gain * steps, SCORE_FACTOR_BITS, 0, MAX_NORM_SHIFT)
    zero = np.zeros_like(factor)
    return ChannelParameters(factor=factor, shift=shift, bias=zero, column_sum=zero)


def norm_parameters(spec: LayerNormSpec, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> NormParameters:
    """A LayerNorm's words, for ``gamma`` and ``beta`` [hidden] in units of the output's last place, and ``epsilon`` in
    the square of the input's.

    An epsilon beyond the word's range is so large that no row's variance counts beside it: its results are less by one
    factor, which is gamma's.

    Raises:
        ValueError: for a value beyond the words' ranges.
    """
    word = spec.statistics.epsilon(epsilon)
    factor, shift = normalised(_norm_gain(spec, gamma, epsilon), NORM_FACTOR_BITS, BIAS_FRACTION, MAX_NORM_SHIFT)
    channels = ChannelParameters(
        factor=np.where(gamma < 0, -factor, factor),
        shift=shift,
        bias=_fixed_bias(beta),
        column_sum=np.zeros_like(factor),
    )
    return NormParameters(channels=channels, epsilon=word)


def least_norm_scales(spec: LayerNormSpec, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> np.ndarray:
    """The least scales [hidden] of the output with which a LayerNorm's words hold real ``gamma`` and
    ``beta``.

    These can be far above the outputs' own range, where gamma times a feature that is the same in all rows nearly
    cancels beta.
    """
    least: np.ndarray = np.maximum(_norm_gain(spec, gamma, epsilon) / NORM_GAIN_LIMIT, np.abs(beta) / BIAS_LIMIT)
    return least


def _norm_gain(spec: LayerNormSpec, gamma: np.ndarray, epsilon: float) -> np.ndarray:
    """What LayerNorm's factors must multiply normalised values with, without a sign."""
    most, exact = spec.statistics.largest_epsilon, epsilon * spec.features**2
    gain: np.ndarray = np.abs(gamma) / spec.unit(spec.statistics.epsilon(epsilon)) * sqrt(most / max(most, exact))
    return gain


def shift_channels(shift: np.ndarray) -> ChannelParameters:
    """Words of which only the shifts count: a residual addition's places [hidden]."""
    zero = np.zeros_like(shift)
    return ChannelParameters(factor=zero, shift=shift, bias=zero, column_sum=zero)


def _fixed_bias(bias: np.ndarray) -> np.ndarray:
    _check_finite("channel bias", bias)
    return np.rint(np.ldexp(bias, BIAS_FRACTION)).astype(np.int64)


def _check_finite(name: str, values: np.ndarray) -> None:
    """Refuses what no integer can be made of.

    Raises:
        ValueError: with the first such value.
    """
    wrong = ~(np.abs(values) < INTEGER_LIMIT / (1 << BIAS_FRACTION))
    if wrong.any():
        raise ValueError(f"{name} must be finite and below 2^58, not {np.asarray(values)[wrong].flat[0]:g}")
