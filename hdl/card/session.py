"""A run of a kernel from start to end: the image is looked at, then the design works; the run ends with a `Code`."""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .guard import VERDICT
from .masters import STATUS

__all__ = ["Code", "Flags", "RunStatus", "Session"]

DELAY = 8
"""Cycles from a strobe until what it changes has come back through registers."""


class Code(IntEnum):
    """How a run ended. A run that ended with another code than `DONE` gave no answers but those that it counted."""

    DONE = 0
    NO_TOKENS = 1
    UNKNOWN_TOKEN = 2
    FULL = 3
    """More tokens than the design has positions."""
    BAD_CANDIDATES = 4
    NOTHING_ASKED = 5
    """No tokens to generate, or no texts."""
    BAD_LAYERS = 6
    MISALIGNED = 16
    """A pointer is no multiple of a beat's 64 bytes."""
    UNCHECKED_IMAGE = 17
    """The first run after a reset, or after an image was refused, must have `Flags.CHECK`."""
    FOREIGN_IMAGE = 18
    """The header of a channel is not that of this design's channel."""
    DAMAGED_IMAGE = 19
    """The contents of a channel do not have their checksum."""
    MEMORY_ERROR = 20
    """Memory answered with SLVERR or DECERR; answers of this run may be wrong."""


class Flags:
    """Bits of the argument ``flags``."""

    CHECK, RESTART, CANDIDATES, TRACE = 0, 1, 2, 3


RunStatus = data.StructLayout({"code": unsigned(8), "channel": unsigned(8), "memory": STATUS, "busy": 1})
"""Register ``status``: the last run's `Code`; the number of the first channel whose image was refused; what the masters
saw in the run; whether a run goes on."""


class Session(wiring.Component):
    """Checks what a run needs, starts the design, and says how the run ended.

    Members:
        begin, end: strobes of `RunControl`.
        misaligned: a pointer is misaligned. ``memory``: `STATUS` of all masters together.
        clear: strobe; a new run begins: masters forget errors, counters begin with 0.
        check: strobe; ``whole`` (`Flags.CHECK`): the guards sum the contents, too. ``done``, ``verdicts``: those of
            each guard.
        start: strobe; the design begins. ``ended``: strobe; it has ended, with ``code``.
        status: `RunStatus`. ``running``: a run goes on.
        report: strobe; the report is written, unless a pointer was misaligned. ``reported``: strobe; it is in memory.
    """

    def __init__(self, guards: int):
        self.spec = guards
        super().__init__(
            {
                "begin": In(1),
                "end": Out(1),
                "whole": In(1),
                "misaligned": In(1),
                "memory": In(STATUS),
                "clear": Out(1),
                "check": Out(1),
                "done": In(guards),
                "verdicts": In(VERDICT).array(guards),
                "start": Out(1),
                "ended": In(1),
                "code": In(8),
                "status": Out(RunStatus),
                "running": Out(1),
                "report": Out(1),
                "reported": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wait = Signal(range(DELAY + 1))
        waited = Signal()
        unchecked = Signal(init=1)
        all_done = Signal()
        kinds = {kind: Cat(verdict[kind] for verdict in self.verdicts) for kind in ("foreign", "damaged")}
        found = {kind: Signal(name=kind) for kind in kinds}
        first = {kind: Signal(8, name=f"first_{kind}") for kind in kinds}
        for kind, bits in kinds.items():
            m.d.sync += found[kind].eq(bits.any())
            for number in reversed(range(self.spec)):
                with m.If(bits[number]):
                    m.d.sync += first[kind].eq(number)
        m.d.sync += [all_done.eq(self.done.all()), waited.eq(wait == 1), self.status.memory.eq(self.memory)]
        m.d.comb += self.status.busy.eq(self.running)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        bad = Signal()
        begun = Signal()
        refuses = Signal()
        error = Signal()
        m.d.sync += [
            begun.eq(self.begin),
            refuses.eq(unchecked & ~self.whole),
            error.eq(self.status.memory.slave_error | self.status.memory.decode_error),
        ]
        with m.FSM(name="state"):
            with m.State("idle"):
                with m.If(begun):
                    m.d.comb += self.clear.eq(1)
                    m.d.sync += [self.running.eq(1), self.status.channel.eq(0), wait.eq(DELAY)]
                    m.next = "arguments"
            with m.State("arguments"):
                with m.If(waited):
                    m.next = "look"
                    with m.If(self.misaligned):
                        m.d.sync += self.status.code.eq(Code.MISALIGNED)
                        m.next = "end"
                    with m.Elif(refuses):
                        m.d.sync += self.status.code.eq(Code.UNCHECKED_IMAGE)
                        m.next = "report"
            with m.State("look"):
                m.d.comb += self.check.eq(1)
                m.d.sync += wait.eq(DELAY)
                m.next = "looking"
            with m.State("looking"):
                with m.If((wait == 0) & all_done):
                    m.next = "judge"
            with m.State("judge"):
                m.d.sync += bad.eq(found["foreign"] | found["damaged"])
                m.d.sync += self.status.code.eq(Code.DAMAGED_IMAGE)
                with m.If(found["foreign"]):
                    m.d.sync += [self.status.code.eq(Code.FOREIGN_IMAGE), self.status.channel.eq(first["foreign"])]
                with m.Elif(found["damaged"]):
                    m.d.sync += self.status.channel.eq(first["damaged"])
                m.next = "decide"
            with m.State("decide"):
                m.next = "report"
                with m.If(bad):
                    m.d.sync += unchecked.eq(1)
                with m.Elif(self.whole):
                    m.d.sync += unchecked.eq(0)
                with m.If(~bad):
                    m.d.comb += self.start.eq(1)
                    m.next = "work"
            with m.State("work"):
                with m.If(self.ended):
                    m.d.sync += [self.status.code.eq(self.code), wait.eq(DELAY)]
                    m.next = "last"
            with m.State("last"):  # the last answers of memory reach the status
                with m.If(waited):
                    m.next = "report"
            with m.State("report"):
                with m.If(error):
                    m.d.sync += self.status.code.eq(Code.MEMORY_ERROR)
                    m.d.sync += unchecked.eq(1)
                m.d.comb += self.report.eq(1)
                m.next = "reporting"
            with m.State("reporting"):
                with m.If(self.reported):
                    m.next = "end"
            with m.State("end"):
                m.d.comb += self.end.eq(1)
                m.d.sync += self.running.eq(0)
                m.next = "idle"
        return m
