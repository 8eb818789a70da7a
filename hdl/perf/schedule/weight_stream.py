"""The weights of a linear unit on their way: out of memory, and into the RAMs as far as there is room.

Weights are read in order and run ahead: a word takes the place of the one that came `ram_depth` words before it.
"""

import numpy as np

from ...kernels.linear import LinearSpec
from .memory_reader import ROUNDING, MemoryReader
from .servers import LONG_AGO

__all__ = ["WeightStream"]


class WeightStream:
    """The RAMs of a unit behind its channels' readers."""

    def __init__(self, unit: LinearSpec, reader: MemoryReader):
        self.unit, self.reader = unit, reader
        self.free = np.full(unit.ram_depth, LONG_AGO)  # when the last word of each place was let go
        self.loaded = self.read = 0
        self.filled: np.ndarray | float = LONG_AGO  # when the last word was complete

    def words(self, product: int, count: int, start: int = LONG_AGO) -> np.ndarray:
        """When each of the next ``count`` words, no more than the RAMs hold, can enter the array; none is loaded
        before ``start``."""
        unit = self.unit
        places = (self.loaded + np.arange(count)) % unit.ram_depth
        self.loaded += count
        room = np.maximum(self.free[places], start)
        # Of packed weights, and where words do not fill beats, a word's share: as good as the beats one by one.
        totals = unit.product_beats(product), unit.load_cycles(product)
        beats, cycles = (total / unit.ram_words[product] for total in totals)
        # A channel takes a beat a cycle, where there is room and memory has given it.
        behind = np.arange(1, count + 1) * cycles
        earliest = np.maximum(self.reader.given(room, beats), room + cycles) - behind
        taken = np.maximum(np.maximum.accumulate(earliest, axis=1), self.filled) + behind
        self.filled = taken[:, -1:]
        self.reader.took(taken)
        return np.ceil(taken.max(axis=0) - ROUNDING).astype(np.int64) + unit.weight_latency

    def let_go(self, when: np.ndarray) -> None:
        """The next words are read for the last time at these times."""
        places = (self.read + np.arange(len(when))) % self.unit.ram_depth
        self.read += len(when)
        self.free[places] = when + self.unit.release_latency
