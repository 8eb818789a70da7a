"""Keys and values in off-chip memory: when a layer's earlier tokens are in the RAMs that attention reads.

A layer is loaded as soon as the one before it is, and the last but one, whose bank it takes, has been read to the end.
"""

from ..kernels.kvmemory import KvMemorySpec
from .memorytiming import MemoryTiming
from .servers import LONG_AGO

__all__ = ["CacheLoads"]


class CacheLoads:
    """The loads of keys, or of values, of a run behind ``tokens`` others, which ``start`` with the run."""

    def __init__(self, memory: KvMemorySpec, timing: MemoryTiming, tokens: int, start: int):
        rate = float(timing.rate)
        if timing.refresh:
            rate *= 1 - timing.refresh / timing.refresh_interval
        latency = memory.load_latency - memory.latency_cycles + timing.latency + timing.activation
        self.cycles = round(latency + memory.cycles(tokens) / rate) if tokens else 0
        self.end, self.released = start, [LONG_AGO, LONG_AGO]

    def layer(self) -> int:
        """When the next layer's are all there."""
        self.end = max(self.end, self.released[-2]) + self.cycles
        return self.end

    def read(self, when: int) -> None:
        """A layer has been read to the end."""
        self.released.append(when)
