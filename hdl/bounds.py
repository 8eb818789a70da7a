"""Bounds of the numbers that the user gives, with the reason for each upper bound."""

import os
from dataclasses import dataclass, replace

from .errors import InputError, shown

__all__ = [
    "CLOCK",
    "DEVICES",
    "FRONT_POINTS",
    "JOBS",
    "POINTS",
    "SEED",
    "SEQUENCES",
    "TEMPERATURE",
    "THREADS",
    "Bounds",
]

CORES = os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The number ``name`` must be ``least`` to ``most``, in ``unit``; ``why`` is the reason for ``most``."""

    name: str
    least: int
    most: int
    unit: str = ""
    why: str

    def check(self, value: float) -> None:
        """Checks a value.

        Raises:
            InputError: for a value outside of the bounds, or one that is no number.
        """
        if not self.least <= value <= self.most:
            most = f"{self.most:,} {self.unit}".rstrip()
            given = f"{value:g}" if isinstance(value, float) else shown(value)
            raise InputError(f"{self.name} must be {self.least:,} to {most} ({self.why}), not {given}")


SEQUENCES = Bounds(name="sequences", least=1, most=65_536, why="no device's memory holds the keys and values of more")

CLOCK = Bounds(name="clock", least=1, most=1_200, unit="MHz", why="the DSPs of no FPGA are faster")

POINTS = Bounds(name="points", least=1, most=10_000_000, why="all points are kept in memory")

FRONT_POINTS = replace(POINTS, least=0)
"""Points of a report, which may leave the front out."""

SEED = Bounds(name="seed", least=0, most=2**32 - 1, why="a seed has 32 bits")

TEMPERATURE = Bounds(name="temperature", least=0, most=100, why="all candidates are about as likely there")

DEVICES = Bounds(name="devices", least=1, most=64, why="larger rings are not estimated")

THREADS = Bounds(name="threads", least=1, most=max(2, CORES), why=f"this machine has {CORES} cores")
"""Threads of a simulation wait for each other in loops, so more threads than cores take many times as long."""

JOBS = Bounds(name="jobs", least=1, most=max(2, CORES), why=f"this machine has {CORES} cores; -1 takes all")
