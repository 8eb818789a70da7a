"""Keys and values in off-chip memory: when a layer's earlier tokens are in the RAMs that attention reads.

A layer is loaded as soon as the one before it is, and the one whose bank it takes has been read to the end; a run's
first, which may be long before the run, when memory also holds all of the run before.
"""

from typing import Self

from ...kernels.kvmemory import KvMemorySpec
from ..memory_timing import MemoryTiming
from .servers import LONG_AGO

__all__ = ["CacheLoads"]

STORED_CYCLES = 6
"""From a tile's last features to the acceptance of their beat by memory, and from its answer to the next order."""


class CacheLoads:
    """The loads of keys, or of values, of a run behind ``tokens`` others, the first of them there before it begins."""

    def __init__(self, memory: KvMemorySpec, timing: MemoryTiming, tokens: int):
        rate, self.latency = float(timing.rate), timing.latency
        if timing.refresh:
            rate *= 1 - timing.refresh / timing.refresh_interval
        latency = memory.load_latency - memory.latency_cycles + timing.latency + timing.activation
        self.cycles = round(latency + memory.cycles(tokens) / rate) if tokens else 0
        self.end = self.kept = LONG_AGO  # when all there is loaded, and when memory holds all that is new
        self.released = [LONG_AGO] * memory.banks.banks

    def behind(self, before: Self, ended: int) -> None:
        """These come behind those of the run ``before``, whose time ``ended`` is the present run's 0."""
        self.end = max(before.end, before.kept) - ended
        self.released = [when - ended for when in before.released]

    def layer(self) -> int:
        """When the next layer's are all there."""
        self.end = max(self.end, self.released[0]) + self.cycles
        return self.end

    def read(self, when: int) -> None:
        """A layer has been read to the end."""
        self.released = [*self.released[1:], when]

    def stored(self, when: int) -> None:
        """A layer's new keys, or values, have come, which memory is to hold."""
        self.kept = when + self.latency + STORED_CYCLES
