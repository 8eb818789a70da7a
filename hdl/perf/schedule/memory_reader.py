"""Readers of memory channels: when what they ask for comes, at the memory's pace, and as far as they have room.

A memory's time is counted in the beats that it could have moved, so a channel that pauses for refreshes is a server
like any other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.fetch import FetchSpec
from ..geometry.parameter_blocks import PARAMETER_WORDS_A_BEAT
from ..memory_timing import MemoryTiming
from .servers import BUFFER, LONG_AGO, ParameterServer

__all__ = ["ROUNDING", "FetchedParameters", "MemoryReader"]

ROUNDING = 1e-6
"""What floating point may be off, in cycles."""

ASK_CYCLES = 2
"""From a beat's leaving a reader to the request that its room allows: the count of room, the buffer of requests."""


class MemoryClock:
    """Cycles as beats that channels could have moved by then, each of which is ``phases`` cycles into its refresh
    interval when the run begins [channels]. Until a cycle another reader may take a ``share`` of them."""

    def __init__(self, timing: MemoryTiming, phases: np.ndarray, share: float, until: int):
        self.rate, self.share = float(timing.rate), share
        self.interval = timing.refresh_interval or 1 << 40
        self.open = self.interval - timing.refresh  # cycles of an interval in which beats move
        self.phases = phases.reshape(-1, 1)
        self.before = self._open_cycles(self.phases)
        self.shared = (self._open_cycles(until + self.phases) - self.before) * self.rate  # beats until then

    def _open_cycles(self, cycles: np.ndarray) -> np.ndarray:
        whole, rest = np.divmod(cycles, self.interval)
        return np.asarray(whole * self.open + np.minimum(rest, self.open))

    def beats(self, cycles: np.ndarray) -> np.ndarray:
        """Beats by these cycles, [channels, any]."""
        every = (self._open_cycles(cycles + self.phases) - self.before) * self.rate
        return np.asarray(every - self.share * np.minimum(every, self.shared))

    def cycles(self, beats: np.ndarray) -> np.ndarray:
        """The cycles by which so many beats have moved, [channels, any]."""
        taken = self.share * self.shared
        every = np.where(beats < self.shared - taken, beats / (1 - self.share), beats + taken)
        whole, rest = np.divmod(every / self.rate + self.before, self.open)
        return np.asarray(whole * self.interval + rest - self.phases)


class MemoryReader:
    """Readers of channels that hold the same, [channels], whose first request goes out at ``start``. Another reader may
    take a ``share`` of their beats ``until`` a cycle. ``watch``, where somebody does, is told when pieces were taken,
    [channels, pieces], and the beats of one."""

    watch: Callable[[np.ndarray, float], None] | None = None

    def __init__(
        self, fetch: FetchSpec, timing: MemoryTiming, phases: np.ndarray, start: int, share: float = 0, until: int = 0
    ):
        self.fetch, self.latency, self.clock = fetch, timing.latency, MemoryClock(timing, phases, share, until)
        first = np.full((len(phases), 1), start + timing.latency + timing.activation - 1)
        self.moved = self.clock.beats(first)  # beats that memory has moved
        self.earlier = np.full((len(phases), fetch.ahead), float(LONG_AGO))  # when the pieces before were taken

    def filled(self) -> int:
        """When the bursts have come that the reader asks for at first, as many as find room in it."""
        bursts = self.fetch.ahead // self.fetch.burst * self.fetch.burst
        return int(np.ceil(self.clock.cycles(self.moved + bursts) - ROUNDING).max())

    def given(self, room: np.ndarray, beats: float) -> np.ndarray:
        """When pieces of ``beats`` each can be taken, [channels, pieces], which have room behind the reader from
        ``room`` on, [pieces]. A burst is asked for when the reader itself has room: what is taken leaves it."""
        self.beats = beats
        between = max(1, int((self.fetch.ahead - self.fetch.burst) / beats))
        taken = np.concatenate([self.earlier[:, -between:], np.tile(room, (len(self.moved), 1))], axis=1)
        asked = np.maximum(taken[:, : len(room)], 0) + ASK_CYCLES + self.latency
        piece = np.arange(1, len(room) + 1)
        earliest = self.clock.beats(asked) + beats - piece * beats
        moved = np.maximum(np.maximum.accumulate(earliest, axis=1), self.moved) + piece * beats
        self.moved = moved[:, -1:]
        return self.clock.cycles(moved) + self.fetch.data_latency

    def took(self, when: np.ndarray) -> None:
        """The pieces that were given were taken at these times, [channels, pieces]."""
        if self.watch is not None:
            self.watch(when, self.beats)
        self.earlier = np.concatenate([self.earlier, when], axis=1)[:, -self.fetch.ahead :]


class FetchedParameters(ParameterServer):
    """Parameters that come out of memory through a ``reader``; further arguments as `ParameterServer` has them."""

    def __init__(self, reader: MemoryReader, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.reader = reader

    def dealt(self, begins: int, pieces: int, cycles: int) -> np.ndarray:
        """As `ParameterServer`, but none before it comes."""
        room = super().dealt(begins, pieces, cycles) - BUFFER
        given = self.reader.given(room, self.width / PARAMETER_WORDS_A_BEAT).max(axis=0) + BUFFER  # of the sections
        behind = np.arange(pieces) * cycles
        taken = np.maximum.accumulate(np.maximum(given, room) - behind) + behind
        self.reader.took(taken[np.newaxis])
        return np.ceil(taken - ROUNDING).astype(np.int64) + BUFFER
