"""Fetch: reads segments of memory in bursts, and requests no more than it has room for.

A segment is cut at multiples of ``max_burst`` beats. A burst is requested when the FIFO has room for all of it. So
each beat from memory is accepted at once, and a shared controller never waits for a reader. The FIFO has

    ahead = burst - 1 + latency_cycles + turn

beats, so that data comes without a gap: when the room for a burst's last beat becomes free, its request still arrives
in time for its first beat. ``turn`` is the cycles from a beat's leaving until the request that uses its room, and from
the beat's arrival until it can leave.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import BEAT_BYTES, CHANNEL_BITS, MAX_BURST, Request
from ..memory import ReplayBuffer, ReplaySpec
from ..resources import Resources
from ..stream import StreamBuffer, buffer_resources, connect, join

__all__ = ["PAGE_BEATS", "Fetch", "FetchSpec"]

PAGE_BEATS = 4096 // BEAT_BYTES
"""Beats of 4 KiB, whose boundaries an AXI burst may not cross."""

MAX_LATENCY = 2048
"""The longest latency in cycles: some microseconds. Its FIFO is still as deep as one RAM."""

ADDRESS_BITS = Request["address"].width


@dataclass(frozen=True, kw_only=True)
class FetchSpec:
    """A reader of segments of up to ``max_beats``, in bursts of up to ``max_burst`` beats, a power of two.

    ``latency_cycles``: cycles of the memory from a request to its first beat.

    Raises:
        ValueError: for a burst that AXI does not have, and for sizes that the widths do not allow.
    """

    max_beats: int
    latency_cycles: int
    max_burst: int = PAGE_BEATS

    def __post_init__(self) -> None:
        if not 1 <= self.max_burst <= MAX_BURST or self.max_burst & (self.max_burst - 1):
            raise ValueError(f"fetch bursts must be a power of two of 1 to {MAX_BURST} beats, not {self.max_burst}")
        if not 1 <= self.max_beats < 1 << ADDRESS_BITS:
            raise ValueError(f"fetch segments must be of 1 to {(1 << ADDRESS_BITS) - 1} beats, not {self.max_beats}")
        if not 1 <= self.latency_cycles <= MAX_LATENCY:
            raise ValueError(f"fetch latency must be 1 to {MAX_LATENCY} cycles, not {self.latency_cycles}")

    @property
    def order(self) -> data.StructLayout:
        """A segment: the ``address`` of its first beat, and its ``beats`` (at least 1)."""
        return data.StructLayout({"address": unsigned(ADDRESS_BITS), "beats": unsigned(self.max_beats.bit_length())})

    @property
    def burst(self) -> int:
        """Beats of the longest burst."""
        return min(self.max_burst, self.max_beats)

    @property
    def request_latency(self) -> int:
        """Cycles from the acceptance of an order to its first request, if there is room."""
        return 3

    @cached_property
    def data_latency(self) -> int:
        """Cycles from a beat's arrival from memory to its leaving."""
        return ReplaySpec(CHANNEL_BITS, 1, "block", max_repeat=1).latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of an order to its first beat."""
        return self.request_latency + self.latency_cycles + self.data_latency

    def cycles(self, beats: int) -> int:
        """Cycles for ``beats`` beats, of one segment or several: segments follow each other without a gap."""
        return beats

    @cached_property
    def ahead(self) -> int:
        """The most beats that are requested and have not left: the FIFO's depth."""
        turn = 2 + self.data_latency  # the count of room, the buffer of requests, the FIFO
        return self.burst - 1 + self.latency_cycles + turn

    @property
    def fifo(self) -> ReplaySpec:
        """The FIFO."""
        return ReplaySpec(CHANNEL_BITS, self.ahead, "block", max_repeat=1)

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        requests = buffer_resources(Request.size, 2) * 2 + buffer_resources(self.ahead.bit_length(), 2)
        cut = Resources(lut=2 * ADDRESS_BITS, ff=self.order.size + self.burst.bit_length() + 2)
        room = self.ahead.bit_length()
        return self.fifo.resources + requests + cut + Resources(lut=3 * room, ff=room)

    def reference(self, orders: Iterable[tuple[int, int]]) -> np.ndarray:
        """The requests [n, 2] (address, beats) of segments (address, beats)."""
        requests = []
        for address, beats in orders:
            end = address + beats
            cuts = range(address // self.max_burst * self.max_burst + self.max_burst, end, self.max_burst)
            bounds = [address, *cuts, end]
            requests += [(first, last - first) for first, last in pairwise(bounds)]
        return np.array(requests, dtype=np.int64).reshape(-1, 2)


class Fetch(wiring.Component):
    """Reads segments, one beat per cycle if memory keeps up; `FetchSpec.latency`.

    The requests of a segment leave while the data of the last one still arrives.

    Members:
        order: stream of `FetchSpec.order`.
        requests: stream of `Request`; bursts that cross no multiple of ``max_burst``.
        response: stream of 512-bit beats from memory, for the requests and in their order; always accepted at once.
        data: stream of the same beats.
    """

    def __init__(self, spec: FetchSpec):
        self.spec = spec
        beat = stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__(
            {
                "order": In(stream.Signature(spec.order)),
                "requests": Out(stream.Signature(Request)),
                "response": In(beat),
                "data": Out(beat),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        room = Signal(range(spec.ahead + 1), init=spec.ahead)
        # A burst, and its beats as a negative number.
        m.submodules.bursts = bursts = StreamBuffer(data.StructLayout({"request": Request, "minus": len(room)}))
        m.submodules.asked = asked = StreamBuffer(Request)
        m.submodules.fifo = fifo = ReplayBuffer(unsigned(CHANNEL_BITS), spec.fifo)
        self._cut(m, bursts.input)
        connect(m, asked.output, self.requests)
        connect(m, self.response, fifo.input)
        connect(m, fifo.output, self.data)
        burst, minus = bursts.output.payload.request, bursts.output.payload.minus
        go = join(m, [bursts.output], asked.input.ready & (burst.beats <= room))
        m.d.comb += [
            asked.input.valid.eq(go),
            asked.input.payload.eq(burst),
        ]
        fifo.read_once(m)
        taken = self.data.valid & self.data.ready
        # One adder, whose carry in is `taken`.
        left = (Cat(Const(1, 1), room) + Cat(taken, minus))[1:]
        m.d.sync += room.eq(Mux(go, left, room + taken))
        return m

    def _cut(self, m: Module, bursts: stream.Interface) -> None:
        """Cuts one segment after the other into bursts, one burst per cycle."""
        limit, order = self.spec.max_burst, self.order.payload
        low = limit.bit_length() - 1
        # A burst, whether it is its segment's last, and the beats of the segment after it.
        busy = Signal()
        last = Signal(reset_less=True)
        burst = Signal(Request, reset_less=True)
        rest = Signal.like(order.beats, reset_less=True)
        go = busy & bursts.ready
        take = self.order.valid & self.order.ready
        left = Mux(take, order.beats, rest)
        whole = Mux(take, limit - order.address[:low], limit)  # up to the next cut
        ends = left <= whole
        m.d.comb += [
            self.order.ready.eq(~busy | (go & last)),
            bursts.valid.eq(busy),
            bursts.payload.request.eq(burst),
            bursts.payload.minus.eq(-burst.beats),
        ]
        m.d.sync += busy.eq(take | (busy & ~(go & last)))
        with m.If(take | go):
            m.d.sync += [
                burst.address.eq(Mux(take, order.address, Cat(Const(0, low), burst.address[low:] + 1))),
                burst.beats.eq(Mux(ends, left, whole)),
                last.eq(ends),
                rest.eq(left - whole),
            ]
