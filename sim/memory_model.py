"""A memory channel cycle by cycle, in Python, for Amaranth's simulator; sim/memory.h is the same in C++."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdl.channel import BEAT_BYTES
from sim.memory import ADDRESS_BITS, MAX_BEATS, MemoryChannel, MemoryFault
from sim.streams import Gaps, MemoryUse


class Side(NamedTuple):
    """What a channel must know of one of its ports before a cycle: whether its pauses let this side move, and whether
    a beat was valid and not taken in the cycle before."""

    moves: bool
    waiting: bool


ABSENT = Side(False, False)


@dataclass
class _Burst:
    address: int
    left: int
    ready: int  # the cycle from which on it may be served
    opening: int  # cycles until its row is open


class _Answer(NamedTuple):
    """The answer to a write: the cycle from which on it may come, and the beats, with their addresses, kept then."""

    ready: int
    beats: list[tuple[int, int]]


class _Bursts:
    """The bursts of one direction, first come first served."""

    def __init__(self) -> None:
        self.queue: deque[_Burst] = deque()
        self._end: int | None = None  # of the last burst: one that begins there needs no other row

    def add(self, address: int, beats: int, ready: int, activation: int) -> None:
        self.queue.append(_Burst(address, beats, ready, 0 if address == self._end else activation))
        self._end = address + beats

    def open(self, cycle: int) -> bool:
        """Whether the first burst can move a beat; to be called once a cycle, for it opens the row where it must."""
        if not self.queue or cycle < self.queue[0].ready:
            return False
        if self.queue[0].opening:
            self.queue[0].opening -= 1
            return False
        return True

    def step(self) -> int:
        """Moves a beat; the address it has."""
        burst = self.queue[0]
        burst.address += 1
        burst.left -= 1
        if not burst.left:
            self.queue.popleft()
        return burst.address - 1

    @property
    def left(self) -> int:
        """Beats of all of them."""
        return sum(burst.left for burst in self.queue)


class ChannelModel:
    """The state of a channel. `drive` and `observe` are called in turn, once a cycle; ports that the design has not are
    never valid nor ready."""

    def __init__(self, memory: MemoryChannel, index: int, first_cycle: int):
        self.memory = memory
        self._first_cycle = first_cycle
        self.begin()
        self._gaps = None if memory.timing.seed is None else Gaps(memory.timing.seed, index)
        self.restart()

    def begin(self) -> None:
        """Begin to count what becomes of the cycles: of a run."""
        self.use = MemoryUse()

    def restart(self) -> None:
        """Begin again, as a reset of the design makes it; the contents stay."""
        self.reads, self.writes = _Bursts(), _Bursts()
        self._taken: list[tuple[int, int]] = []  # address and beat, of the burst that is being written
        self._answers: deque[_Answer] = deque()
        self._now = self._first_cycle
        self._cost = self.memory.timing.rate.denominator
        self._credit = self._most_credit
        self._refreshing = False
        self.answering = False  # there is something to do, and it is this side that takes its time
        self._payload = 0
        if self._gaps is not None:
            self._gaps.restart()

    @property
    def _most_credit(self) -> int:
        """A beat's cost and what a cycle would add without paying a whole one more: no rate is lost, and no more saved
        up than one beat."""
        return self._cost + self.memory.timing.rate.numerator - 1

    def drive(self, sides: Mapping[str, Side]) -> tuple[dict[str, bool], int]:
        """By role, whether this side is valid (data) or ready in the coming cycle; and the data's payload."""
        timing = self.memory.timing
        into, out_of = timing.refresh_interval - timing.refresh, timing.refresh_interval
        self._refreshing = timing.refresh > 0 and self._now % out_of >= into
        self._credit = min(self._credit + timing.rate.numerator, self._most_credit)
        moves = (self._gaps is None or self._gaps.toss()) and self._credit >= self._cost
        readable = not self._refreshing and self.reads.open(self._now) and moves
        writable = not self._refreshing and self.writes.open(self._now) and moves
        data, written = sides.get("data", ABSENT), sides.get("written", ABSENT)
        writable &= written.moves
        offers = readable and data.moves and not data.waiting and not (writable and written.waiting)
        if offers:
            self._credit -= self._cost
            self._payload = int.from_bytes(self.memory.contents[self.reads.queue[0].address].tobytes(), "little")
        return {
            "requests": sides.get("requests", ABSENT).moves and len(self.reads.queue) < timing.outstanding,
            "data": offers or data.waiting,
            "writes": sides.get("writes", ABSENT).moves and len(self.writes.queue) < timing.outstanding,
            "written": writable and not offers,
            "acknowledged": self._answers_now(sides.get("acknowledged", ABSENT)),
        }, self._payload

    def _answers_now(self, side: Side) -> bool:
        """Whether the answer to a write is on offer."""
        due = bool(self._answers) and self._answers[0].ready <= self._now
        return side.waiting or (due and side.moves)

    def observe(self, cycle: int, valid: Mapping[str, bool], moved: Mapping[str, int]) -> None:
        """Takes note of what the cycle showed: by role, what was valid, and the payload of what moved.

        Raises:
            MemoryFault: for a request beyond the contents.
        """
        self._count(valid, moved)
        if "data" in moved:
            self.reads.step()
            self.use.read += BEAT_BYTES
        if "written" in moved:
            self._credit -= self._cost
            self.use.written += (moved["written"] >> 8 * BEAT_BYTES).bit_count()
            ends = self.writes.queue[0].left == 1
            self._taken.append((self.writes.step(), moved["written"]))
            if "acknowledged" not in valid:
                self._keep(self._taken)
            elif ends:
                self._answers.append(_Answer(self._now + self._latency(), self._taken))
                self._taken = []
        if "acknowledged" in moved:
            self._keep(self._answers.popleft().beats)
        if "requests" in moved:
            self._ask(self.reads, moved["requests"], self._now + self._latency(), cycle)
        if "writes" in moved:
            self._ask(self.writes, moved["writes"], self._now + 1, cycle)
        self._now += 1

    def _latency(self) -> int:
        """Cycles until the answer to what came now."""
        late = 0 if self._gaps is None else self._gaps.draw() % (self.memory.timing.late + 1)
        return self.memory.timing.latency + late

    def _keep(self, taken: list[tuple[int, int]]) -> None:
        """Writes beats, and forgets them."""
        for address, beat in taken:
            raw = np.frombuffer(beat.to_bytes(BEAT_BYTES + BEAT_BYTES // 8, "little"), np.uint8)
            strobes = np.unpackbits(raw[BEAT_BYTES:], bitorder="little").astype(bool)
            self.memory.contents[address, strobes] = raw[:BEAT_BYTES][strobes]
        taken.clear()

    def _ask(self, bursts: _Bursts, request: int, ready: int, cycle: int) -> None:
        address, beats = request & (1 << ADDRESS_BITS) - 1, request >> ADDRESS_BITS
        if not 1 <= beats <= MAX_BEATS or address + beats > len(self.memory.contents):
            raise MemoryFault.at(cycle, self.memory, address, beats)
        bursts.add(address, beats, ready, self.memory.timing.activation)

    def _count(self, valid: Mapping[str, bool], moved: Mapping[str, int]) -> None:
        pending = bool(self.reads.queue) or (bool(self.writes.queue) and valid.get("written", False))
        on_offer = valid.get("data", False)
        self.answering = (pending and not on_offer) or (bool(self._answers) and not valid["acknowledged"])
        if self._refreshing:
            self.use.refresh += 1
        elif "data" in moved or "written" in moved:
            self.use.busy += 1
        elif on_offer:
            self.use.refused += 1
        elif pending:
            self.use.waiting += 1
        else:
            self.use.idle += 1
