"""Holds the `resources` of the specs to what Yosys finds."""

from amaranth.lib import wiring

from hdl.resources import Resources
from hdl.top.emitter import Emitter
from sim import synthesis


def synthesise(component: wiring.Component) -> Resources:
    """What Yosys finds for a component."""
    emitter = Emitter()
    emitter.emit(component, "top")
    return synthesis.rolled_up(emitter.modules, synthesis.synthesise(emitter.modules))["top"]


def assert_mapped(component: wiring.Component, estimate: Resources, *, tolerance: float = 0.2) -> None:
    """Demands that a spec's DSP, BRAM and URAM are exactly Yosys', and its LUT and FF within ``tolerance`` of them."""
    found = synthesise(component)
    assert (estimate.dsp, estimate.bram36, estimate.uram) == (found.dsp, found.bram36, found.uram)
    assert abs(estimate.lut / found.lut - 1) <= tolerance, f"{estimate.lut} LUT estimated, {found.lut} found"
    assert abs(estimate.ff / found.ff - 1) <= tolerance, f"{estimate.ff} FF estimated, {found.ff} found"
