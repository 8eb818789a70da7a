"""When a memory's channels answer: what the simulators' memory goes by, and what counts the cycles of a run."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Self

from ..channel import BEAT_BYTES
from .device import Device, Memory

__all__ = ["IDEAL", "MemoryTiming"]


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """When a channel answers, in cycles of the design's clock; without arguments, ideal: a beat a cycle, at once.

    ``rate``: beats a cycle, over 0 and up to 1. ``latency``, ``activation``, ``refresh``, ``refresh_interval`` (0: no
    refresh) and ``outstanding``: see `sim.memory`, which answers by them. For tests, with a ``seed``: answers up to
    ``late`` cycles later than the latency, and pauses between beats as `sim.streams.Gaps` has them.
    """

    rate: Fraction = Fraction(1)
    latency: int = 1
    activation: int = 0
    refresh: int = 0
    refresh_interval: int = 0
    outstanding: int = 16
    late: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"memory rate must be over 0 and up to 1 beat a cycle, not {self.rate}")
        for name, least in (("latency", 1), ("activation", 0), ("refresh", 0), ("outstanding", 1), ("late", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"memory {name} must be at least {least}, not {getattr(self, name)}")
        if self.refresh and self.refresh_interval <= self.refresh:
            interval = self.refresh_interval
            raise ValueError(f"memory refresh must be shorter than its interval of {interval}, not {self.refresh}")
        if self.late and self.seed is None:
            raise ValueError(f"memory that is up to {self.late} cycles late must have a seed")

    @classmethod
    def of(cls, memory: Memory, clock_mhz: float) -> Self:
        """A port of a device's memory for a design at that clock, times rounded to the worse side.

        Raises:
            ValueError: for a memory without timing.
        """
        if memory.timing is None:
            raise ValueError(f"memory {memory.name} must have a timing; its device's file has none")
        cycles_a_ns = Fraction(str(clock_mhz)) / 1000
        timing = memory.timing
        return cls(
            rate=_rate(memory, clock_mhz),
            latency=ceil(Fraction(str(timing.latency_ns)) * cycles_a_ns),
            activation=ceil(Fraction(str(timing.activation_ns)) * cycles_a_ns),
            refresh=ceil(Fraction(str(timing.refresh_ns)) * cycles_a_ns),
            refresh_interval=floor(Fraction(str(timing.refresh_interval_ns)) * cycles_a_ns),
        )

    @classmethod
    def of_device(cls, device: Device) -> Self:
        """A port of a device's memory at its clock; where the device's file has no timing, one that answers at once, at
        the rate that is assumed of it."""
        if device.memory.timing is None:
            return cls(rate=_rate(device.memory, device.clock_mhz) * Fraction(str(device.memory.sustained)))
        return cls.of(device.memory, device.clock_mhz)

    def first_cycle(self, place: int, count: int) -> int:
        """Where in its refresh interval the ``place``-th of ``count`` channels begins: spread evenly, for independent
        controllers do not refresh at once."""
        return self.refresh_interval * place // count


def _rate(memory: Memory, clock_mhz: float) -> Fraction:
    """Beats a cycle that a port gives at the peak."""
    beats_a_second = Fraction(str(memory.bandwidth_gb_s)) * 10**9 / memory.ports / BEAT_BYTES
    return min(Fraction(1), beats_a_second / (Fraction(str(clock_mhz)) * 10**6))


IDEAL = MemoryTiming()
"""A beat a cycle, at once."""
