"""The functions between the linear operators of the feed-forward part, each as the network and the hardware take it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, exp, pi, sqrt, tanh

import numpy as np

__all__ = ["FUNCTIONS", "Function", "function_of"]

ENTRIES, STEP = 1024, 64
"""Entries of the table, and inputs from one to the next."""

INT16, UINT16 = (1 << 15) - 1, (1 << 16) - 1


@dataclass(frozen=True)
class Function:
    """A function by its ``name``, and ``aliases`` that Hugging Face has for the same one.

    ``rows`` computes it in float32, value by value; ``exact`` of a single number. ``least``: its least value, which is
    the 0 of the table's unsigned outputs.
    """

    name: str
    aliases: frozenset[str]
    rows: Callable[[np.ndarray], np.ndarray]
    exact: Callable[[float], float]
    least: float

    def table(self, input_scale: float) -> tuple[np.ndarray, float]:
        """Base and delta [entries, 2] for inputs of the given scale; and the scale of the outputs."""
        inputs = (np.arange(ENTRIES + 1) * STEP - (INT16 + 1)) * input_scale
        values = np.array([self.exact(x) for x in inputs]) - self.least
        scale = values.max() / UINT16
        bases = np.rint(values / scale).astype(np.int64)
        return np.stack([bases[:-1], np.diff(bases)], axis=1), scale


def gelu(x: np.ndarray) -> np.ndarray:
    """The exact GELU, x * (1 + erf(x / sqrt(2))) / 2, to 2e-7 of its argument."""
    # erf by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7: numpy has none.
    magnitude = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * magnitude)
    polynomial = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(coefficient)) * t
    erf = 1 - polynomial * np.exp(-magnitude * magnitude)
    return x * (1 + np.copysign(erf, x)) / 2


def gelu_new(x: np.ndarray) -> np.ndarray:
    """The GELU's tanh form, x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: equation 2 of arXiv 1606.08415."""
    root = np.float32(np.sqrt(2 / np.pi)) if x.dtype == np.float32 else np.sqrt(2 / np.pi)
    return x * (1 + np.tanh(root * (x + x.dtype.type(0.044715) * x * x * x))) / 2


def silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), also called swish."""
    # Of the least magnitude's exponential, which cannot overflow.
    small = np.exp(-np.abs(x))
    return x * np.where(x < 0, small, 1) / (1 + small)


FUNCTIONS = {
    function.name: function
    for function in (
        Function(
            "gelu",
            frozenset({"gelu_python"}),
            gelu,
            lambda x: x * (1 + erf(x / sqrt(2))) / 2,
            -0.16997120747990369,
        ),
        # "gelu_fast" writes sqrt(2 / pi) as 0.7978845608, which is the same float32.
        Function(
            "gelu_new",
            frozenset({"gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"}),
            gelu_new,
            lambda x: x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2,
            -0.17004075057125412,
        ),
        Function(
            "silu",
            frozenset({"swish"}),
            silu,
            lambda x: x * (exp(x) if x < 0 else 1) / (1 + exp(-abs(x))),
            -0.2784645427610738,
        ),
    )
}
"""By their names."""


def function_of(name: object) -> Function | None:
    """The function of a name or an alias; None where it is not known."""
    return next((own for own in FUNCTIONS.values() if name == own.name or name in tuple(own.aliases)), None)
