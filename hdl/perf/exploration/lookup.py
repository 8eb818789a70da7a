"""Functions of whole numbers, asked of arrays of them: once for each different pair."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["looked_up"]


def looked_up(function: Callable[[int, int], Any], first: np.ndarray, second: np.ndarray, *, like: Any) -> np.ndarray:
    """What a function says of pairs of small whole numbers, not negative: arrays of one shape, or that broadcast. Its
    answers are ``like`` that one; of several numbers, they are the last axis."""
    first, second = np.broadcast_arrays(first, second)
    width = int(second.max(initial=0)) + 1
    keys = first * width + second
    asked = np.zeros(int(keys.max(initial=0)) + 1, dtype=bool)
    asked[keys] = True
    different = np.flatnonzero(asked)
    answers = np.array([like, *(function(*divmod(key, width)) for key in different.tolist())])
    return np.asarray(answers[np.cumsum(asked)[keys]])
