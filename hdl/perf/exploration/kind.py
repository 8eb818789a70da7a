"""What an exploration asks of a kind of design: its axes, how points of them are drawn, and what these are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ...model.network import Network
from ..device import Device
from .point import DesignPoint
from .points import Points

__all__ = ["TABLES", "Kind"]

TABLES = 4
"""Tables of a kind that are kept, so that the same network is explored on several devices with one."""

CLOCKS = (0.6, 0.8, 1.0)
"""Shares of the planning clock, which is the highest that is tried."""


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """All designs of a kind, of ``network`` on ``device``, for prompts of ``prompt`` tokens and ``output`` more.

    ``name``: the kind's.

    Raises:
        InputError: for a network that has no geometry, when `tables` are asked for.
    """

    network: Network
    device: Device
    prompt: int
    output: int

    name: ClassVar[str]

    @property
    @abstractmethod
    def axes(self) -> tuple[str, ...]:
        """The columns of a choice, each an index; among them ``weight_bits`` and ``clock``."""

    @property
    @abstractmethod
    def tables(self) -> Any:
        """The figures of every option, asked of the specs once: a dataclass."""

    @property
    @abstractmethod
    def values(self) -> dict[str, tuple[int, ...]]:
        """What the indices of those axes stand for that all points share."""

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

    @cached_property
    def weight_bits(self) -> tuple[int, ...]:
        """Bits of a weight: the number formats, W8A8 and, with a scale for each group of weights, W4A8."""
        return (8, 4) if self.network.causal else (8,)

    @cached_property
    def clocks(self) -> tuple[int, ...]:
        """Clocks in MHz."""
        return tuple(round(share * self.device.clock_mhz) for share in CLOCKS)

    def index(self, choices: np.ndarray, axis: str) -> np.ndarray:
        """The indices of an axis."""
        return np.asarray(choices[..., self.axes.index(axis)])

    def value(self, choices: np.ndarray, axis: str) -> np.ndarray:
        """What the indices of one of the shared axes stand for."""
        return np.array(self.values[axis])[self.index(choices, axis)]
