"""Holds the `resources` of the specs to what Yosys finds.

A start of Yosys takes long, so the units of a test are mapped together, and by one process: tests run side by side.
"""

from collections.abc import Iterable

from amaranth.lib import wiring

from hdl.resources import Resources
from hdl.top.emitter import Emitter
from sim import synthesis


def synthesise(*components: wiring.Component) -> list[Resources]:
    """What Yosys finds for each of the components."""
    emitter = Emitter()
    tops = {f"top_{index}": component for index, component in enumerate(components)}
    emitter.emit_all(tops)
    found = synthesis.rolled_up(emitter.modules, synthesis.synthesise(emitter.modules, processes=1))
    return [found[top] for top in tops]


def assert_resources(estimate: Resources, found: Resources, *, about: object, tolerance: float = 0.2) -> None:
    """Demands that DSP, BRAM and URAM are exactly those found, and LUT and FF within ``tolerance`` of them."""
    assert (estimate.dsp, estimate.bram36, estimate.uram) == (found.dsp, found.bram36, found.uram), about
    assert abs(estimate.lut / found.lut - 1) <= tolerance, f"{estimate.lut} LUT estimated, {found.lut} found: {about}"
    assert abs(estimate.ff / found.ff - 1) <= tolerance, f"{estimate.ff} FF estimated, {found.ff} found: {about}"


def assert_mapped(units: Iterable[tuple[wiring.Component, Resources]]) -> None:
    """Demands of each component's estimated resources that they are what Yosys finds (see `assert_resources`)."""
    components, estimates = zip(*units, strict=True)
    for component, estimate, found in zip(components, estimates, synthesise(*components), strict=True):
        assert_resources(estimate, found, about=getattr(component, "spec", component))
