"""Weights of 4 or 5 bits in groups: what is unpacked to int8 with one small product, and nothing after it changes.

An int8 weight is ``q * m``: ``q`` of 4 bits, -8..7, and ``m`` the factor, 1..15, of the weight's group: `GROUP`
consecutive inputs of an output. So no weight is beyond 120, unpacking rounds nothing, and the output's scale is what it
is with weights of 8 bits. With 5 bits, ``q`` is -16..15 and ``m`` 1..7; the hardware has no such weights yet.
"""

from dataclasses import dataclass

import numpy as np

from ..kernels.shared import GROUP

__all__ = ["FORMATS", "GroupFormat", "group_of", "group_scales", "nearest", "nibbles"]


@dataclass(frozen=True)
class GroupFormat:
    """Integers from ``low`` to ``high``, and factors from 1 to ``most``."""

    low: int
    high: int
    most: int


FORMATS = {4: GroupFormat(-8, 7, 15), 5: GroupFormat(-16, 15, 7)}
"""By the bits of a weight."""

CLIPS = np.linspace(0.55, 1, 10)
"""What part of an output's largest weight its scale may make the greatest."""


def group_of(inputs: int) -> np.ndarray:
    """The group of each input, of which the last may be smaller."""
    return np.arange(inputs) // GROUP


def nearest(weight: np.ndarray, step: np.ndarray, form: GroupFormat) -> np.ndarray:
    """The integers of a format nearest to real weights, of which ``step`` is 1."""
    return np.clip(np.rint(weight / step), form.low, form.high)


def nibbles(weight: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The integers of 4 bits, -8..7 as int8, of int8 weights [outputs, inputs] with the factors [outputs, groups].

    Raises:
        ValueError: for weights that are no such multiples.
    """
    spread = factors[:, group_of(weight.shape[1])].astype(np.int64)
    found, left = np.divmod(weight.astype(np.int64), spread)
    low, high = FORMATS[4].low, FORMATS[4].high
    if left.any() or found.min() < low or found.max() > high:
        raise ValueError(f"weights must be {low}..{high} times their group's factor")
    return found.astype(np.int8)


def group_scales(
    weight: np.ndarray, importance: np.ndarray, form: GroupFormat, least: np.ndarray | float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Scales [outputs] and factors, uint8 [outputs, groups], for real weights [outputs, inputs].

    Of all factors, and of a few scales not below ``least``, those with the least squared error of the weights rounded
    to the nearest, each input's by its ``importance`` [inputs].
    """
    outputs, inputs = weight.shape
    starts = np.arange(0, inputs, GROUP)
    largest = np.abs(weight).max(axis=1)
    best = np.full(outputs, np.inf)
    scales, factors = np.ones(outputs), np.ones((outputs, len(starts)), dtype=np.uint8)
    for clip in CLIPS:
        scale = np.maximum(clip * largest / (form.high * form.most), least)
        scale = np.where(scale > 0, scale, 1)
        errors = np.empty((form.most, outputs, len(starts)))
        for index in range(form.most):
            step = scale[:, None] * (index + 1)
            error = (weight - nearest(weight, step, form) * step) ** 2 * importance
            errors[index] = np.add.reduceat(error, starts, axis=1)
        total = errors.min(axis=0).sum(axis=1)
        better = total < best
        best[better], scales[better] = total[better], scale[better]
        factors[better] = errors.argmin(axis=0)[better] + 1
    return np.where(largest > 0, scales, 0), factors
