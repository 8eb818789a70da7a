"""The report of a run in memory, for hosts that cannot read registers: a copy of the registers from `INFORMATION` on.

It lies at the beginning of the answer's buffer: a register at address a is at byte a - `INFORMATION`. The answers begin
`REPORT_BEATS` beats after the beginning of the buffer.
"""

from functools import reduce
from math import ceil
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request, Written
from ..delay_registers import KEEP
from ..kernels.fetch import PAGE_BEATS
from ..stream import pieces
from .registers import RegisterMap

__all__ = ["REPORT_BEATS", "ReportWriter"]

REPORT_BEATS = PAGE_BEATS
"""Beats at the beginning of the answer's buffer that are the report's."""


class ReportWriter(wiring.Component):
    """Writes the report.

    Members: ``start`` (strobe); ``values``, by the name of each register from `INFORMATION` on, steady until ``done``,
    a strobe: it is in memory; ``writes``, ``written``, ``acknowledged``: those of `WriteMaster`.
    """

    def __init__(self, registers: RegisterMap):
        self.spec = self.registers = registers
        values = {register.name: Out(register.bits) for register in registers.information}
        super().__init__(
            {
                "start": In(1),
                "done": Out(1),
                "values": In(wiring.Signature(values)),
                "writes": Out(stream.Signature(Request)),
                "written": Out(stream.Signature(Written)),
                "acknowledged": In(stream.Signature(unsigned(1))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        values = Cat(getattr(self.values, register.name) for register in self.registers.information)
        beats = ceil(len(values) / CHANNEL_BITS)
        image = Cat(values, Const(0, beats * CHANNEL_BITS - len(values)))
        # A bit for each beat chooses it; a copy of the bits for each piece of the beat.
        cuts = pieces(CHANNEL_BITS)
        turns = [Signal(beats, name=f"turn_{i}", attrs=KEEP) for i, _ in enumerate(cuts)]
        turn = turns[0]
        beat = Signal(CHANNEL_BITS, reset_less=True)
        for own, cut in zip(turns, cuts, strict=True):
            parts = (Mux(bit, image[i * CHANNEL_BITS :][cut], 0) for i, bit in enumerate(own))
            m.d.sync += beat[cut].eq(reduce(or_, parts))
        m.d.comb += [
            self.writes.payload.beats.eq(beats),
            self.written.payload.data.eq(beat),
            self.written.payload.strobes.eq(~0),
            self.acknowledged.ready.eq(1),
        ]
        m.d.sync += self.done.eq(0)
        with m.FSM(name="state"):
            with m.State("idle"):
                m.d.sync += [own.eq(1) for own in turns]
                with m.If(self.start):
                    m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.writes.valid.eq(1)
                with m.If(self.writes.ready):
                    m.next = "send"
            with m.State("choose"):
                m.next = "send"
            with m.State("send"):
                m.d.comb += self.written.valid.eq(1)
                with m.If(self.written.ready):
                    m.d.sync += [own.eq(own << 1) for own in turns]
                    m.next = "choose"
                    with m.If(turn[-1]):
                        m.next = "wait"
            with m.State("wait"):
                with m.If(self.acknowledged.valid):
                    m.d.sync += self.done.eq(1)
                    m.next = "idle"
        return m
