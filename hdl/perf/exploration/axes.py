"""The axes of a kind of design: what the indices of a choice stand for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...model.network import Network
from ..device import Device

__all__ = ["TABLES", "Axes"]

TABLES = 4
"""Tables of a kind that are kept, so that the same network is explored on several devices with one."""

CLOCKS = (0.6, 0.8, 1.0)
"""Shares of the planning clock, which is the highest that is tried."""


@dataclass(frozen=True, kw_only=True)
class Axes(ABC):
    """The axes of all designs of a kind, of ``network`` on ``device``, for prompts of ``prompt`` tokens and ``output``
    more.

    Raises:
        InputError: for a network that has no geometry, when `tables` are asked for.
    """

    network: Network
    device: Device
    prompt: int
    output: int

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
