"""The angles of rotary positions (https://arxiv.org/abs/2104.09864), with the ways in which models stretch them."""

from dataclasses import dataclass
from math import pi

import numpy as np

__all__ = ["Angles", "neighbours", "turn"]


@dataclass(frozen=True)
class Angles:
    """The angles by which positions turn pairs of features.

    The angle of pair i of a head of n features grows by ``base`` ** (-2 i / n) from a position to the next. ``factor``
    makes all angles smaller, as if positions were nearer to each other. With ``positions``, the length that a LLaMA 3
    was trained on at first, it does so only for slow pairs, which turn less than ``low`` times in this length; pairs
    that turn more than ``high`` times are left as they are, and those between are interpolated.
    """

    base: float
    factor: float = 1.0
    low: float = 0.0
    high: float = 0.0
    positions: int = 0

    def frequencies(self, head_size: int) -> np.ndarray:
        """The growth of each pair's angle from a position to the next, float64 [head_size / 2]."""
        plain = self.base ** (-np.arange(0, head_size, 2) / head_size)
        if not self.positions:
            return np.asarray(plain / self.factor)
        turns = self.positions * plain / (2 * pi)
        share = np.clip((turns - self.low) / (self.high - self.low), 0, 1)
        return np.asarray(plain * (share + (1 - share) / self.factor))

    def table(self, start: int, tokens: int, head_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines, float64 [tokens, head_size / 2], of positions from ``start`` on."""
        angles = np.outer(np.arange(start, start + tokens), self.frequencies(head_size))
        return np.cos(angles), np.sin(angles)


def turn(x: np.ndarray, cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    """Rows [tokens, features] with each pair of neighbours turned, head by head."""
    pairs = x.reshape(len(x), -1, cosines.shape[1], 2)
    first, second = pairs[..., 0], pairs[..., 1]
    cosines, sines = cosines[:, np.newaxis], sines[:, np.newaxis]
    return np.stack([first * cosines - second * sines, second * cosines + first * sines], axis=-1).reshape(x.shape)


def neighbours(head_size: int) -> np.ndarray:
    """The order of a head's features that makes neighbours of the pairs that are half a head apart."""
    return np.arange(head_size).reshape(2, -1).T.reshape(-1)
