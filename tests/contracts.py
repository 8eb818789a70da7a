"""What a block between streams promises, as assertions for `sim.formal.prove`, whatever the block's latency.

A proof follows one item through the block, which the free input ``mark`` chooses in any cycle. It counts the items
before this one, and keeps what the item carried. As it is any item, all items arrive unchanged and in order.

A block may take at most ``delay`` cycles for what it owes. This time also runs while nobody is ready, so a block whose
``valid`` waits for ``ready`` is refuted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.stream import connect

__all__ = [
    "FAULTS",
    "Claims",
    "Contract",
    "Faulty",
    "Handshake",
    "Tracker",
    "assert_output",
    "assert_steady",
    "assume_steady",
    "moves",
    "through",
    "within",
]

Claims = Callable[[Module, Any, Value], None]
"""Adds the assertions on a block to a module."""


def moves(port: Any) -> Value:
    """A beat is handed over."""
    return port.valid & port.ready


def _steady(m: Module, port: Any, claim: Any, name: str) -> None:
    payload = Value.cast(port.payload)
    waiting, held = Signal(name=f"{name}_waiting"), Signal(len(payload), name=f"{name}_held")
    m.d.sync += [waiting.eq(port.valid & ~port.ready), held.eq(payload)]
    m.d.comb += claim(~waiting | port.valid & (payload == held), f"{name} holds its beat until it is taken")


def assume_steady(m: Module, port: Any, name: str) -> None:
    """The one who gives to the block holds a beat until it is taken."""
    _steady(m, port, Assume, name)


def assert_steady(m: Module, port: Any, name: str) -> None:
    """The block holds a beat until it is taken."""
    _steady(m, port, Assert, name)


def within(m: Module, condition: Value, delay: int, message: str) -> None:
    """The ``condition`` never lasts for ``delay`` cycles."""
    cycles = Signal(range(delay + 1))
    m.d.sync += cycles.eq(Mux(condition, cycles + 1, 0))
    m.d.comb += Assert(cycles < delay, message)


@dataclass
class Handshake:
    """Any signals as a stream."""

    valid: Any
    ready: Any
    payload: Any


class Tracker:
    """The items between where they are ``put`` and where they are taken, and the marked one in particular.

    In a cycle ``put`` items come and the oldest ``leaves`` go. ``mark`` chooses item ``offset`` of those that come.

    Attributes:
        level: items on the way.
        found: the marked item is one of them.
        ahead: older items than the marked one.
        saved: ``content`` when the marked item came.
    """

    def __init__(
        self, m: Module, name: str, mark: Value, put: Any, content: Any, leaves: Any, *, most: int, offset: Any = 0
    ):
        content, put, leaves = Value.cast(content), Value.cast(put), Value.cast(leaves)
        self.level = Signal(range(2 * most + 2), name=f"{name}_level")
        self.found = Signal(name=f"{name}_found")
        self.ahead = Signal.like(self.level, name=f"{name}_ahead")
        self.saved = Signal(len(content), name=f"{name}_saved")
        m.d.sync += self.level.eq(self.level + put - leaves)
        m.d.comb += Assert(self.level <= most, f"{name}: at most {most} are on the way")
        with m.If(self.found):
            m.d.sync += [self.ahead.eq(self.ahead - leaves), self.found.eq(self.ahead >= leaves)]
        with m.Elif((put > offset) & mark):
            m.d.sync += [self.found.eq(1), self.saved.eq(content), self.ahead.eq(self.level + offset - leaves)]


def assert_output(m: Module, name: str, items: Tracker, port: Any, content: Value, *, delay: int) -> None:
    """``port`` gives the items in their order; ``content`` is what it has to give of the marked one."""
    turn = items.found & (items.ahead == 0)
    assert_steady(m, port, name)
    m.d.comb += [
        Assert(~port.valid | (items.level != 0), f"{name}: nothing is made up"),
        Assert(~(port.valid & turn) | (Value.cast(port.payload) == content), f"{name}: unchanged and in order"),
    ]
    within(m, (items.level != 0) & ~port.valid, delay, f"{name}: comes, whether it is waited for or not")


def through(m: Module, block: wiring.Component, name: str, outer: Any) -> None:
    """Connects a member of a block (a signal, stream, array of streams or output interface) with that around it."""
    member, inner = block.signature.members[name], getattr(block, name)
    if member.is_port:
        m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
        return
    if not isinstance(member.signature, stream.Signature):  # AXI: signals of both directions
        for path, each, value in member.signature.flatten(inner):
            wire = getattr(outer, path[0])
            m.d.comb += wire.eq(value) if each.flow == Out else value.eq(wire)
        return
    for one, other in zip(inner, outer, strict=True) if member.dimensions else [(inner, outer)]:
        connect(m, *((one, other) if member.flow == Out else (other, one)))


class Contract(wiring.Component):
    """A block with the assertions on it, which ``claims(m, block, mark)`` adds to the module."""

    def __init__(self, block: wiring.Component, claims: Claims, *, mark_bits: int = 1):
        self.block, self.claims = block, claims
        super().__init__({"ports": Out(block.signature), "mark": In(mark_bits)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.block = self.block
        for name in self.block.signature.members:
            through(m, self.block, name, getattr(self.ports, name))
        self.claims(m, self.block, self.mark)
        return m


FAULTS = {
    "waits": "valid waits for ready",
    "changes": "a waiting beat changes",
    "loses": "a beat is lost",
    "doubles": "a beat comes twice",
    "alters": "a beat has another content",
}
"""What can be wrong with a stream."""


class Faulty(wiring.Component):
    """A ``block`` whose output stream ``port`` (`outputs`: the first of them) has one of the `FAULTS`, in its second
    beat if it is a single one."""

    def __init__(self, block: wiring.Component, port: str, fault: str):
        self.block, self.port, self.fault = block, port, fault
        super().__init__(block.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.block = block = self.block
        for name in self.signature.members:
            outer, inner = getattr(self, name), getattr(block, name)
            if name != self.port:
                through(m, block, name, outer)
            elif isinstance(outer, list):
                self._spoil(m, inner[0], outer[0])
                for given, taken in zip(inner[1:], outer[1:], strict=True):
                    connect(m, given, taken)
            else:
                self._spoil(m, inner, outer)
        return m

    def _spoil(self, m: Module, inner: Any, outer: Any) -> None:
        """From the block's port to the outer one, with the fault."""
        given, taken = Value.cast(inner.payload), Value.cast(outer.payload)
        connect(m, inner, outer)
        waiting, beats = Signal(), Signal(2)
        m.d.sync += waiting.eq(outer.valid & ~outer.ready)
        with m.If(inner.valid & inner.ready & (beats != 3)):
            m.d.sync += beats.eq(beats + 1)
        second = beats == 1
        if self.fault == "waits":
            m.d.comb += outer.valid.eq(inner.valid & outer.ready)
        elif self.fault == "changes":
            m.d.comb += taken.eq(given ^ waiting.replicate(len(given)))
        elif self.fault == "loses":
            m.d.comb += [outer.valid.eq(inner.valid & ~second), inner.ready.eq(outer.ready | second)]
        elif self.fault == "doubles":
            again = Signal()
            m.d.comb += inner.ready.eq(outer.ready & (~second | again))
            m.d.sync += again.eq(again | (second & moves(outer)))
        elif self.fault == "alters":
            m.d.comb += taken.eq(given ^ second.replicate(len(given)))
        else:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}, not {self.fault!r}")
