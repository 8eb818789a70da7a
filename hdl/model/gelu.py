"""The GELU in both its forms, and its table for the activation unit."""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, pi, sqrt, tanh

import numpy as np

__all__ = ["EXACT", "TANH", "Gelu"]

ENTRIES, STEP = 1024, 64
"""Entries of the table, and inputs from one to the next."""

INT16, UINT16 = (1 << 15) - 1, (1 << 16) - 1


@dataclass(frozen=True)
class Gelu:
    """A form of the GELU: the ``function``, and its ``least`` value, which is the 0 of the table's unsigned outputs."""

    function: Callable[[float], float]
    least: float

    def table(self, input_unit: float) -> tuple[np.ndarray, float]:
        """Base and delta [entries, 2] for inputs of the given unit; and the unit of the outputs."""
        inputs = (np.arange(ENTRIES + 1) * STEP - (INT16 + 1)) * input_unit
        values = np.array([self.function(x) for x in inputs]) - self.least
        unit = values.max() / UINT16
        bases = np.rint(values / unit).astype(np.int64)
        return np.stack([bases[:-1], np.diff(bases)], axis=1), unit


EXACT = Gelu(lambda x: x * (1 + erf(x / sqrt(2))) / 2, -0.16997120747990369)
"""BERT's."""

TANH = Gelu(lambda x: x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2, -0.17004075057125412)
"""GPT-2's: equation 2 of https://arxiv.org/abs/1606.08415."""
