"""The LayerNorms of GPT-2's residual stream: the units of their results, and their words.

Their results go to linear units alone, so every feature has the unit that suits it and its weights, unless its words
need a larger one: where a feature of the stream is nearly the same in all rows, gamma times it may cancel a beta that
is far larger than the result. A feature whose results then differ by less than what the larger unit and the rows' 8
bits can tell apart becomes a constant, which needs no larger unit.
"""

from collections.abc import Sequence

import numpy as np

from ...kernels.normparameters import NormParameters
from ..layerquantiser import INT16, Ranges, free_units
from ..scaling import least_norm_units, norm_parameters
from ..spec import Gpt2Spec
from ..units import Units
from ..weights import Dense, Norm

__all__ = ["StreamNorm", "signed_extremes"]

ROW_LEVELS = 127

INDISTINCT = INT16 / ROW_LEVELS
"""How many of its units a feature may differ by within one level of a full row."""

LARGEST, SMALLEST = "largest {}", "smallest {}"
"""Names of a norm's extremes among the ranges."""


def signed_extremes(name: str, results: np.ndarray) -> dict[str, np.ndarray]:
    """A norm's results as a trace that makes ranges hold their largest value and the negative of their smallest."""
    return {LARGEST.format(name): results, SMALLEST.format(name): -results}


class StreamNorm:
    """A LayerNorm called ``name`` of a stream that has the ``unit``; ``found`` has the ranges of its results, which go
    to ``readers``.

    Members: ``units`` [hidden], the real values of its results' last places.
    """

    def __init__(self, spec: Gpt2Spec, norm: Norm, unit: float, name: str, found: Ranges, readers: Sequence[Dense]):
        self.kernel, self.epsilon = Units.of(spec).norm, spec.layer_norm_eps / unit**2
        free, least = (
            free_units(found[name], readers),
            least_norm_units(self.kernel, norm.gamma, norm.beta, self.epsilon),
        )
        largest, smallest = found[LARGEST.format(name)], -found[SMALLEST.format(name)]
        constant = (least > free) & (largest - smallest < INDISTINCT * least)
        self.units = np.where(constant, free, np.maximum(free, least))
        self.gamma = np.where(constant, 0, norm.gamma)
        self.beta = np.where(constant, (largest + smallest) / 2, norm.beta)

    def parameters(self) -> NormParameters:
        """Its words.

        Raises:
            ValueError: for a value beyond the words' ranges.
        """
        return norm_parameters(self.kernel, self.gamma / self.units, self.beta / self.units, self.epsilon)
