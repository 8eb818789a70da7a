"""Options of groups, one group's after the other's: the rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from ..geometry.arrays import ArrayShape

__all__ = ["GroupOptions", "Shapes"]


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """The ``shapes`` of each group's options, and where a group's begin in the tables of the kinds of options."""

    shapes: tuple[tuple[Any, ...], ...]
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def stacked(cls, groups: Sequence[dict[str, Any]]) -> Self:
        """The rows of all groups, whose figures are arrays by name, one after the other."""
        sizes = np.array([len(group["shapes"]) for group in groups])
        arrays = {name: np.concatenate([group[name] for group in groups]) for name in groups[0] if name != "shapes"}
        shapes = tuple(tuple(group["shapes"]) for group in groups)
        return cls(shapes=shapes, start=np.cumsum(sizes) - sizes, size=sizes, **arrays)


@dataclass(frozen=True, kw_only=True)
class Shapes(GroupOptions):
    """Options that are an array's shapes each."""

    shapes: tuple[tuple[ArrayShape, ...], ...]

    @cached_property
    def flat(self) -> np.ndarray:
        """All shapes, [options, columns and cascades]."""
        return np.array([shape for group in self.shapes for shape in group])

    @property
    def columns(self) -> np.ndarray:
        """Columns of every option."""
        return np.asarray(self.flat[:, 0])

    @property
    def cascades(self) -> np.ndarray:
        """Cascades of every option."""
        return np.asarray(self.flat[:, 1])
