"""The meter of a memory channel: beats that moved, and cycles in which the design waited for one."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Meter"]


class Meter(wiring.Component):
    """Counts from ``clear`` (a strobe) on, while ``running``.

    Members: ``asked`` (strobe: a burst goes out), ``answered`` (strobe: its last beat has come, or its answer);
    ``moved`` (strobe: a beat); ``beats``: those that moved; ``waits``: the cycles in which a burst was on its way and
    no beat moved.
    """

    spec = ()

    def __init__(self) -> None:
        strobes = dict.fromkeys(("clear", "running", "asked", "answered", "moved"), In(1))
        super().__init__(strobes | {"beats": Out(64), "waits": Out(64)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        owed = Signal(8)
        moved = Signal()
        waits = Signal()
        m.d.sync += [
            owed.eq(owed + self.asked - self.answered),
            moved.eq(self.moved & self.running),
            waits.eq((owed != 0) & ~self.moved & self.running),
        ]
        with m.If(self.clear):
            m.d.sync += [self.beats.eq(0), self.waits.eq(0)]
        with m.Else():
            m.d.sync += [self.beats.eq(self.beats + moved), self.waits.eq(self.waits + waits)]
        return m
