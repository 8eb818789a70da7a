"""Weights of 4 bits in groups: what the hardware unpacks to int8 with one small product, and nothing behind it changes.

An int8 weight is ``q * m``: ``q`` of 4 bits, -8..7, and ``m`` the factor, 1..15, of the weight's group: `GROUP`
consecutive inputs of an output. So no weight is beyond 120, unpacking rounds nothing, and the output's scale is what it
is with weights of 8 bits.
"""

import numpy as np

from ..kernels.shared import GROUP

__all__ = ["MAX_FACTOR", "group_of", "group_scales", "nearest", "nibbles"]

LOW, HIGH = -8, 7
"""Of an integer of 4 bits."""

MAX_FACTOR = 15

CLIPS = np.linspace(0.55, 1, 10)
"""What part of an output's largest weight its scale may make the greatest."""


def group_of(inputs: int) -> np.ndarray:
    """The group of each input, of which the last may be smaller."""
    return np.arange(inputs) // GROUP


def nearest(weight: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The integers of 4 bits nearest to real weights, of which ``step`` is 1."""
    return np.clip(np.rint(weight / step), LOW, HIGH)


def nibbles(weight: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The integers of 4 bits, -8..7 as int8, of int8 weights [outputs, inputs] with the factors [outputs, groups].

    Raises:
        ValueError: for weights that are no such multiples.
    """
    spread = factors[:, group_of(weight.shape[1])].astype(np.int64)
    found, left = np.divmod(weight.astype(np.int64), spread)
    if left.any() or found.min() < LOW or found.max() > HIGH:
        raise ValueError(f"weights must be {LOW}..{HIGH} times their group's factor")
    return found.astype(np.int8)


def group_scales(
    weight: np.ndarray, importance: np.ndarray, least: np.ndarray | float = 0
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
        scale = np.maximum(clip * largest / (HIGH * MAX_FACTOR), least)
        scale = np.where(scale > 0, scale, 1)
        errors = np.empty((MAX_FACTOR, outputs, len(starts)))
        for index in range(MAX_FACTOR):
            step = scale[:, None] * (index + 1)
            error = (weight - nearest(weight, step) * step) ** 2 * importance
            errors[index] = np.add.reduceat(error, starts, axis=1)
        total = errors.min(axis=0).sum(axis=1)
        better = total < best
        best[better], scales[better] = total[better], scale[better]
        factors[better] = errors.argmin(axis=0)[better] + 1
    return np.where(largest > 0, scales, 0), factors
