"""The weights of a linear unit on their way: memory's pace, the readers' FIFOs, and the room in the RAMs.

Weights are read in order and run ahead as far as the RAMs have room: a word takes the place of the one that came
`ram_depth` words before it. A memory's time is counted in the beats it could have moved (`MemoryClock`), so a channel
is a server like any other.
"""

import numpy as np

from ..kernels.fetch import FetchSpec
from ..kernels.linear import LinearSpec
from .memorytiming import MemoryTiming
from .servers import LONG_AGO

__all__ = ["MemoryClock", "WeightStream"]


ROUNDING = 1e-6
"""What floating point may be off, in cycles."""

ASK_CYCLES = 2
"""From a beat's leaving a reader to the request that its room allows: the count of room, the buffer of requests."""


class MemoryClock:
    """Cycles as beats that channels could have moved by then, each of which is ``phases`` cycles into its refresh
    interval when the run begins [channels]."""

    def __init__(self, timing: MemoryTiming, phases: np.ndarray):
        self.rate = float(timing.rate)
        self.refresh, self.interval = timing.refresh, timing.refresh_interval or 1 << 40
        self.phases = phases.reshape(-1, 1)
        self.open = self.interval - self.refresh  # cycles of an interval in which beats move
        self.before = self._open_cycles(self.phases)

    def _open_cycles(self, cycles: np.ndarray) -> np.ndarray:
        whole, rest = np.divmod(cycles, self.interval)
        return np.asarray(whole * self.open + np.minimum(rest, self.open))

    def beats(self, cycles: np.ndarray) -> np.ndarray:
        """Beats by these cycles, [channels, any]."""
        return np.asarray((self._open_cycles(cycles + self.phases) - self.before) * self.rate)

    def cycles(self, beats: np.ndarray) -> np.ndarray:
        """The cycles by which so many beats have moved, [channels, any]."""
        whole, rest = np.divmod(beats / self.rate + self.before, self.open)
        return np.asarray(whole * self.interval + rest - self.phases)


class WeightStream:
    """The RAMs of a unit and the memory channels in front of them, whose first request goes out at ``start``."""

    def __init__(self, unit: LinearSpec, fetch: FetchSpec, timing: MemoryTiming, phases: np.ndarray, start: int):
        self.unit, self.fetch, self.clock = unit, fetch, MemoryClock(timing, phases)
        self.latency = timing.latency
        self.free = np.full(unit.ram_depth, LONG_AGO)  # when the last word of each place was let go
        self.loaded = self.read = 0
        first = np.full((len(phases), 1), start + timing.latency + timing.activation - 1)
        self.moved = self.clock.beats(first)  # beats of each channel that memory has moved
        self.filled = np.full((len(phases), 1), float(LONG_AGO))  # when the last word was complete
        self.words_taken = np.full((len(phases), fetch.ahead), float(LONG_AGO))  # when the words before were

    def words(self, product: int, count: int, start: int = LONG_AGO) -> np.ndarray:
        """When each of the next ``count`` words, no more than the RAMs hold, can enter the array; none is loaded
        before ``start``."""
        unit = self.unit
        places = (self.loaded + np.arange(count)) % unit.ram_depth
        self.loaded += count
        room = np.maximum(self.free[places], start)
        word = np.arange(1, count + 1)
        # Of packed weights, and where words do not fill beats, a word's share: as good as the beats one by one.
        beats, cycles = (
            total / unit.ram_words[product] for total in (unit.product_beats(product), unit.load_cycles(product))
        )
        # A channel takes a beat a cycle, where there is room and memory has given it.
        earliest = np.maximum(self._given(room, beats) + self.fetch.data_latency, room + cycles) - word * cycles
        taken = np.maximum(np.maximum.accumulate(earliest, axis=1), self.filled) + word * cycles
        self.filled = taken[:, -1:]
        self.words_taken = np.concatenate([self.words_taken, taken], axis=1)[:, -self.fetch.ahead :]
        return np.ceil(taken.max(axis=0) - ROUNDING).astype(np.int64) + unit.weight_latency

    def _given(self, room: np.ndarray, beats: float) -> np.ndarray:
        """When the last of each word's ``beats`` comes out of memory, [channels, words]: its burst is asked for when
        the reader has room, which what goes to the RAMs leaves."""
        between = max(1, int((self.fetch.ahead - self.fetch.burst) / beats))
        taken = np.concatenate([self.words_taken[:, -between:], np.tile(room, (len(self.moved), 1))], axis=1)
        asked = np.maximum(taken[:, : len(room)], 0) + ASK_CYCLES + self.latency
        word = np.arange(1, len(room) + 1)
        earliest = self.clock.beats(asked) + beats - word * beats
        moved = np.maximum(np.maximum.accumulate(earliest, axis=1), self.moved) + word * beats
        self.moved = moved[:, -1:]
        return self.clock.cycles(moved)

    def let_go(self, when: np.ndarray) -> None:
        """The next words are read for the last time at these times."""
        places = (self.read + np.arange(len(when))) % self.unit.ram_depth
        self.read += len(when)
        self.free[places] = when + self.unit.array.read_delay
