"""A memory channel for tests: beats come from the test bench, but only when they were asked for."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.delay_registers import delay
from hdl.stream import connect


class OnChannel(wiring.Component):
    """A component with the same ports whose port ``response`` gets a request's first beat ``latency`` cycles after the
    request, or later where beats before it, or the test bench, hold it up."""

    def __init__(self, component: wiring.Component, *, response: str, latency: int):
        self.component, self.answered, self.latency = component, response, latency
        self.spec = (type(component), component.spec, response, latency)
        super().__init__(dict(component.signature.members))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.component = component = self.component
        for name, member in component.signature.members.items():
            ends = getattr(self, name), getattr(component, name)
            for outer, inner in zip(*ends, strict=True) if member.dimensions else [ends]:
                connect(m, *((outer, inner) if member.flow == In else (inner, outer)))
        requests, outside, inside = self.requests, getattr(self, self.answered), getattr(component, self.answered)
        beats = Mux(requests.valid & requests.ready, requests.payload.beats, 0)
        due = Signal(32)
        m.d.comb += [inside.valid.eq(outside.valid & (due != 0)), outside.ready.eq(inside.ready & (due != 0))]
        come = outside.valid & outside.ready
        m.d.sync += due.eq(due + delay(m, "asked", beats, self.latency - 1, control=True) - come)
        return m
