"""The devices that pipelines are made for, and Amaranth's platforms of the boards they sit on."""

import difflib
from dataclasses import dataclass
from typing import Any, ClassVar

from amaranth.build import Attrs, Clock, DiffPairs, Pins, PinsN, Resource
from amaranth.hdl import Fragment, Module
from amaranth.lib import io
from amaranth.vendor import XilinxPlatform

from ..errors import InputError
from ..resources import Resources

__all__ = ["DEVICES", "Device", "U280Platform", "load_device"]


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


@dataclass(frozen=True, kw_only=True)
class Device:
    """An FPGA on its board.

    ``part`` is its name for the vendor's tools, ``slrs`` what each SLR has, the lowest first, ``clock_mhz`` the clock
    that is planned for.
    """

    name: str
    board: str
    part: str
    slrs: tuple[Resources, ...]
    clock_mhz: int

    @property
    def resources(self) -> Resources:
        """What the whole device has."""
        return sum(self.slrs, Resources())


U280 = Device(
    name="u280",
    board="Alveo U280",
    part="-".join((U280Platform.device, U280Platform.package, U280Platform.speed)),
    slrs=(
        # The HBM's controllers stand where the lowest would have more DSPs.
        Resources(dsp=2880, bram36=672, uram=320, lut=439_680, ff=879_360),
        Resources(dsp=3072, bram36=672, uram=320, lut=432_000, ff=864_000),
        Resources(dsp=3072, bram36=672, uram=320, lut=432_000, ff=864_000),
    ),
    clock_mhz=300,
)

DEVICES = {device.name: device for device in (U280,)}
"""The devices by name."""


def load_device(name: str) -> Device:
    """The device of that name.

    Raises:
        InputError: for an unknown one, with those that are known.
    """
    if name not in DEVICES:
        close = difflib.get_close_matches(name, DEVICES, n=1)
        suggestion = f", did you mean {close[0]!r}?" if close else ""
        raise InputError(f"device {name!r} is unknown{suggestion}; known: {', '.join(DEVICES)}")
    return DEVICES[name]
