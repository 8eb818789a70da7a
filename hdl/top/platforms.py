"""The Alveo U280 as a platform of Amaranth, for a design with a top module of its own instead of a shell."""

from typing import Any, ClassVar

from amaranth.build import Attrs, Clock, DiffPairs, Pins, PinsN, Resource
from amaranth.hdl import Fragment, Module
from amaranth.lib import io
from amaranth.vendor import XilinxPlatform

__all__ = ["U280Platform"]


class U280Platform(XilinxPlatform):
    """An Alveo U280: its free-running clocks, reset button, PCIe reference clock and reset, and the HBM's alarm.

    The card pulls an alarm that nobody drives high, and its satellite controller then cuts the power. So every design
    that does not request ``hbm_cattrip`` drives it low; one with HBM must request it, and drive it by both stacks'
    CATTRIP.

    Each pin agrees in two or more public designs for the card (alexforencich/verilog-ethernet, Xilinx/open-nic-shell,
    bsc-loca/100gb-ethernet and others).
    """

    device = "xcu280"
    package = "fsvh2892"
    speed = "2L-e"
    default_clk = "clk100"
    default_rst = "cpu_reset"
    resources: ClassVar[list[Resource]] = [
        # SYSCLK3, the one no memory controller needs, in a 1.8 V bank.
        Resource("clk100", 0, DiffPairs("G31", "F31", dir="i"), Clock(100e6), Attrs(IOSTANDARD="LVDS")),
        # SYSCLK0 and SYSCLK1, beside the two DDR4 DIMMs.
        Resource("ddr4_clk", 0, DiffPairs("BJ43", "BJ44", dir="i"), Clock(100e6), Attrs(IOSTANDARD="LVDS")),
        Resource("ddr4_clk", 1, DiffPairs("BH6", "BJ6", dir="i"), Clock(100e6), Attrs(IOSTANDARD="LVDS")),
        # A button, active low, which the satellite controller can press too.
        Resource("cpu_reset", 0, PinsN("L30", dir="i"), Attrs(IOSTANDARD="LVCMOS18")),
        # Of lanes 0 to 15: a transceiver's input, to be requested with dir="-" for an IBUFDS_GTE4.
        Resource("pcie_clk", 0, DiffPairs("AR15", "AR14", dir="i"), Clock(100e6)),
        Resource("pcie_reset", 0, PinsN("BH26", dir="i"), Attrs(IOSTANDARD="LVCMOS18", PULLUP="TRUE")),
        Resource("hbm_cattrip", 0, Pins("D32", dir="o"), Attrs(IOSTANDARD="LVCMOS18")),
    ]
    connectors: ClassVar[list[Any]] = []

    def prepare(self, elaboratable: Any, name: str = "top", **kwargs: Any) -> Any:
        """The build plan of a design, in which the HBM's alarm is driven."""
        fragment = Fragment.get(elaboratable, self)
        m = Module()
        m.submodules.design = fragment
        if ("hbm_cattrip", 0) not in self._requested:
            m.submodules.cattrip = cattrip = io.Buffer("o", self.request("hbm_cattrip", dir="-"))
            m.d.comb += cattrip.o.eq(0)
        return super().prepare(m, name, **kwargs)
