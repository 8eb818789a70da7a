"""The U280 as an Amaranth platform."""

import re
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

from hdl.perf.device import load_device
from hdl.top.platforms import U280Platform

FACTS = {"clk100_0__p": "G31", "clk100_0__n": "F31", "cpu_reset_0__io": "L30", "hbm_cattrip_0__io": "D32"}
"""Pins of a design with nothing but a clock and a reset."""


class Counter(Elaboratable):
    """A design that needs a clock, and perhaps drives the HBM's alarm."""

    def __init__(self, *, alarm: bool):
        self.alarm = alarm

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(3)
        m.d.sync += count.eq(count + 1)
        if self.alarm:
            m.submodules.own_alarm = buffer = io.Buffer("o", platform.request("hbm_cattrip", dir="-"))
            m.d.comb += buffer.o.eq(count[2])
        return m


def built(*, alarm: bool) -> dict[str, str]:
    """The files for Vivado."""
    files = U280Platform().prepare(Counter(alarm=alarm)).files
    return {name: text if isinstance(text, str) else text.decode() for name, text in files.items()}


def test_the_part_is_that_of_the_device() -> None:
    board = U280Platform
    assert load_device("u280").part == "-".join((board.device, board.package, board.speed))


def test_a_plain_design_gets_its_pins_and_the_alarm_held_low() -> None:
    files = built(alarm=False)
    assert dict(re.findall(r'set_property LOC (\w+) \[get_ports "(\w+)"\]', files["top.xdc"])) == {
        pin: port for port, pin in FACTS.items()
    }
    assert 'create_clock -name clk100_0__p -period 10.0 [get_nets "clk100_0__p"]' in files["top.xdc"]
    assert "create_project -force -name top -part xcu280-fsvh2892-2L-e" in files["top.tcl"]
    assert re.search(r"module \\top\.cattrip .*?assign o = 1'h0;.*?endmodule", files["top.v"], re.DOTALL)


def test_a_design_may_drive_the_alarm_itself() -> None:
    files = built(alarm=True)
    assert files["top.xdc"].count("D32") == 1
    assert "own_alarm" in files["top.v"]
    assert "top.cattrip" not in files["top.v"]
