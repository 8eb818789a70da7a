"""The top module of a kernel: the ports as Vitis names them, and the reset."""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...card.axi import lite_signature, read_signature, write_signature
from ...card.registers import ADDRESS_BITS
from ...hierarchy import place
from ..reset_tree import RESET_CYCLES
from .kernel import Kernel
from .kernel_spec import KernelSpec

__all__ = ["CONTROL_BUS", "KernelPins", "bus_signals"]

CONTROL_BUS = "s_axi_control"

GATED = {f"{channel}{signal}" for channel in ("aw", "w", "ar") for signal in ("valid", "ready")}
"""The handshakes of the host's accesses, which wait for the end of the reset."""


def bus_signals(spec: KernelSpec) -> dict[str, dict[str, Any]]:
    """The signals of each bus, as members of the kernel, by the bus's prefix and the name after it."""
    buses = {CONTROL_BUS: dict(In(lite_signature(ADDRESS_BITS)).signature.members)}
    for port in spec.ports:
        buses[port.bus] = dict(read_signature(spec.master).members)
        if port.writes:
            buses[port.bus] |= dict(write_signature(spec.master).members)
    return buses


class KernelPins(wiring.Component):
    """A kernel with flat ports: ``ap_clk``, ``ap_rst_n``, ``interrupt`` and BUS_SIGNAL for each signal of each bus."""

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        members = {
            f"{bus}_{name}": member for bus, signals in bus_signals(spec).items() for name, member in signals.items()
        }
        super().__init__({"ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1), **members})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain("sync", local=True)
        m.domains.pins = pins = ClockDomain("pins", reset_less=True, local=True)
        kernel = Kernel(self.spec)
        m.submodules.kernel = place(platform, kernel)
        m.d.comb += [sync.clk.eq(self.ap_clk), pins.clk.eq(self.ap_clk), self.interrupt.eq(kernel.interrupt)]
        # The reset of the design is long enough for all its parts; then all of them rest before the host gets in.
        given = Signal(2)
        left = Signal(range(2 * RESET_CYCLES), init=2 * RESET_CYCLES - 1)
        reset = Signal(init=1)
        opened = Signal()
        m.d.pins += [
            given.eq(Cat(self.ap_rst_n, given)),
            left.eq(Mux(given[1], left - (left != 0), 2 * RESET_CYCLES - 1)),
            reset.eq(left >= RESET_CYCLES),
            opened.eq(left == 0),
        ]
        m.d.comb += sync.rst.eq(reset)
        for bus, signals in bus_signals(self.spec).items():
            for name, member in signals.items():
                outside, inside = getattr(self, f"{bus}_{name}"), self._inside(kernel, bus, name)
                value = outside if member.flow == In else inside
                if bus == CONTROL_BUS and name in GATED:
                    value = value & opened
                m.d.comb += outside.eq(value) if member.flow == Out else inside.eq(value)
        return m

    def _inside(self, kernel: Kernel, bus: str, name: str) -> Any:
        """A signal of a bus as the kernel has it."""
        if bus == CONTROL_BUS:
            return getattr(kernel.control, name)
        port = next(port for port in self.spec.ports if port.bus == bus)
        reads = name in read_signature(self.spec.master).members
        return getattr(getattr(kernel, f"{'read' if reads else 'write'}_{port.name}"), name)
