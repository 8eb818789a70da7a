"""What an exploration asks of a kind of design: how points are drawn, and what these are."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .axes import Axes
from .point import DesignPoint
from .points import Points

__all__ = ["Kind"]


@dataclass(frozen=True, kw_only=True)
class Kind(Axes):
    """All designs of a kind. ``name``: the kind's."""

    name: ClassVar[str]

    @abstractmethod
    def draw(self, seed: int, batch: int, count: int) -> np.ndarray:
        """``count`` points, [points, axes]: the same for the same seed and batch, whatever was drawn before."""

    @abstractmethod
    def screened(self, choices: np.ndarray) -> Points:
        """Points, [points, axes], side by side."""

    @abstractmethod
    def point(self, choice: np.ndarray) -> DesignPoint:
        """The design of a choice, built through its spec."""

    @abstractmethod
    def columns(self, choices: np.ndarray) -> dict[str, np.ndarray]:
        """What choices stand for, a column for each axis of a table."""
