"""The guard of a channel of the memory image: it looks at the channel's header before a run, and sums its contents."""

from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request
from ..stream import StreamBuffer, buffered, connect
from .image import HEADER_BEATS, MAGIC, WORDS, rotation

__all__ = ["CHECK", "VERDICT", "ImageGuard"]

CHECK = data.StructLayout({"design_hash": unsigned(64), "channel": unsigned(8), "beats": unsigned(26)})
"""What the header must say."""

VERDICT = data.StructLayout({"foreign": 1, "damaged": 1})
"""``foreign``: the header is not that of this channel of this design. ``damaged``: the contents have another checksum
than the header."""


class ImageGuard(wiring.Component):
    """Stands between a design and its memory channel: address 0 of the design is the beat after the header.

    After ``begin`` it reads the header, and with ``whole`` the contents, too; then it sets ``done`` and the
    ``verdict``, which stay until the next ``begin``. It passes no request while it reads.

    Members:
        begin: strobe; ``whole`` and ``check`` (`CHECK`) are steady from then on.
        done, verdict: registers.
        asked, found: streams of the design's `Request` and of its beats.
        requests, data: the same of the memory, with the header.
    """

    spec = ()

    def __init__(self) -> None:
        request, beat = stream.Signature(Request), stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__(
            {
                "begin": In(1),
                "whole": In(1),
                "check": In(CHECK),
                "done": Out(1),
                "verdict": Out(VERDICT),
                "asked": In(request),
                "found": Out(beat),
                "requests": Out(request),
                "data": In(beat),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        asked = buffered(m, "waiting", self.asked)
        m.submodules.chosen = chosen = StreamBuffer(Request)
        m.submodules.passed = passed = StreamBuffer(unsigned(CHANNEL_BITS))
        connect(m, chosen.output, self.requests)
        connect(m, passed.output, self.found)
        checking = Signal()
        own = Signal(Request)
        own_valid = Signal()
        sent = Signal()
        m.d.comb += [
            sent.eq(own_valid & chosen.input.ready),
            chosen.input.valid.eq(Mux(checking, own_valid, asked.valid)),
            chosen.input.payload.address.eq(Mux(checking, own.address, asked.payload.address + HEADER_BEATS)),
            chosen.input.payload.beats.eq(Mux(checking, own.beats, asked.payload.beats)),
            asked.ready.eq(~checking & chosen.input.ready),
            passed.input.payload.eq(self.data.payload),
            passed.input.valid.eq(self.data.valid & ~checking),
            self.data.ready.eq(checking | passed.input.ready),
        ]
        come = self.data.valid & checking
        foreign, checksum = self._header(m)
        summing = Signal()
        total = self._sum(m, come & summing)
        left = Signal(CHECK["beats"].shape)  # beats of the contents that have not been requested
        missing = Signal.like(left)  # beats of the contents that have not come
        settled = Signal(5)
        different = Signal(4)  # parts of the checksum
        m.d.sync += [bit.eq(total.word_select(i, 16) != checksum.word_select(i, 16)) for i, bit in enumerate(different)]
        with m.If(summing & sent):
            m.d.sync += [own.address.eq(own.address + HEADER_BEATS), left.eq(left - own.beats)]
        with m.If(summing & come):
            m.d.sync += missing.eq(missing - 1)
        with m.FSM(name="state"):
            with m.State("pass"):
                m.d.sync += [left.eq(self.check.beats), missing.eq(self.check.beats), own.eq(0)]
                with m.If(self.begin):
                    m.d.sync += [checking.eq(1), self.done.eq(0), self.verdict.eq(0), own.beats.eq(1)]
                    m.next = "ask"
            with m.State("ask"):
                m.d.comb += own_valid.eq(1)
                with m.If(sent):
                    m.next = "header"
            with m.State("header"):
                m.d.sync += own.address.eq(HEADER_BEATS)
                with m.If(come):
                    m.next = "compare"
            with m.State("compare"):
                m.d.sync += self.verdict.foreign.eq(foreign)
                m.next = "judge"
            with m.State("judge"):
                m.next = "end"
                with m.If(self.whole & ~self.verdict.foreign):
                    m.d.sync += summing.eq(1)
                    m.next = "cut"
            with m.State("cut"):
                m.d.sync += own.beats.eq(Mux(left > HEADER_BEATS, HEADER_BEATS, left))
                m.next = "sum"
                with m.If(left == 0):
                    m.next = "settle"
            with m.State("sum"):
                m.d.comb += own_valid.eq(1)
                with m.If(sent):
                    m.next = "cut"
            with m.State("settle"):  # the sums are some cycles old
                m.d.sync += settled.eq(Cat(missing == 0, settled[:-1]))
                with m.If(settled[-1]):
                    m.d.sync += [self.verdict.damaged.eq(different.any()), settled.eq(0), summing.eq(0)]
                    m.next = "end"
            with m.State("end"):
                m.d.sync += [self.done.eq(1), checking.eq(0)]
                m.next = "pass"
        return m

    def _header(self, m: Module) -> tuple[Signal, Signal]:
        """Whether the first beat after ``begin`` is another header, the cycle after it came; and its checksum."""
        words = [self.data.payload.word_select(i, 64) for i in range(4)]
        wanted = Cat(self.check.channel, Const(0, 24), self.check.beats, Const(0, 6))
        held = [Signal(64, name=f"header_{i}", reset_less=True) for i in range(4)]
        waits = Signal(init=1)
        with m.If(self.begin):
            m.d.sync += waits.eq(1)
        with m.Elif(self.data.valid):
            m.d.sync += waits.eq(0)
        with m.If(waits):
            m.d.sync += [one.eq(word) for one, word in zip(held, words, strict=True)]
        foreign = Signal()
        m.d.comb += foreign.eq((held[0] != MAGIC) | (held[1] != self.check.design_hash) | (held[2] != wanted))
        return foreign, held[3]

    def _sum(self, m: Module, come: Value) -> Value:
        """The checksum of the beats that have come, three cycles later."""
        words = [self.data.payload.word_select(i, 32) for i in range(WORDS)]
        folded = Signal(32, reset_less=True)
        first = Signal(32)
        second = Signal(32)
        came = Signal()
        summed = Signal()
        m.d.sync += [
            folded.eq(reduce(xor, (word.rotate_left(rotation(i)) for i, word in enumerate(words)))),
            came.eq(come),
            summed.eq(came),
        ]
        with m.If(self.begin):
            m.d.sync += [first.eq(0), second.eq(0)]
        with m.Else():
            with m.If(came):
                m.d.sync += first.eq(first + folded)
            with m.If(summed):
                m.d.sync += second.eq(second + first)
        return Cat(first, second)
