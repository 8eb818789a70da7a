"""Constraints and scripts: they are Tcl, they do what they are for, and they agree with the platform."""

import re
from pathlib import Path

import pytest
from amaranth.build import DiffPairs

from hdl.top.emit import SOURCES, fill
from hdl.top.emitter import PRIMITIVE_DEFINE
from hdl.top.platforms import U280Platform

from .tcl import commands

PLACES = {"part": "xcu280-fsvh2892-2L-e", "top": "pipeline", "define": PRIMITIVE_DEFINE, "constraints": "u280.xdc"}

FILLED = {
    "u280.xdc": fill("u280.xdc", period_ns="3.333"),
    "u280_board.xdc": fill("u280_board.xdc"),
    "synth.tcl": fill("synth.tcl", **PLACES),
}


def test_every_source_is_tested_here() -> None:
    assert sorted(path.name for path in SOURCES.iterdir() if path.suffix in (".xdc", ".tcl")) == sorted(FILLED)


@pytest.mark.parametrize("name", FILLED)
def test_no_place_is_left_unfilled_and_every_line_is_short(name: str) -> None:
    assert "@" not in FILLED[name]
    assert max(map(len, FILLED[name].splitlines())) <= 120


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="period_ns"):
        fill("u280.xdc")


@pytest.mark.parametrize("name", ["u280.xdc", "u280_board.xdc"])
def test_constraints_are_commands_that_vivado_allows_in_them(name: str) -> None:
    allowed = {"create_clock", "set_clock_uncertainty", "set_property", "set_false_path", "set_operating_conditions"}
    assert {words[0] for words in commands(FILLED[name])} <= allowed


def test_the_clock_is_that_of_the_plan() -> None:
    assert ["create_clock", "-name", "clk", "-period", "3.333", "[get_ports clk]"] in commands(FILLED["u280.xdc"])


def board_pins() -> dict[str, str]:
    """Pins by port, as the board's constraints have them."""
    pins = {}
    for words in commands(FILLED["u280_board.xdc"]):
        if words[0] == "set_property" and "PACKAGE_PIN" in " ".join(words):
            port = re.fullmatch(r"\[get_ports (\w+)\]", words[-1])
            assert port
            pins[port[1]] = " ".join(words).split("PACKAGE_PIN ")[1].split()[0]
    return pins


def test_the_board_s_pins_are_the_platform_s() -> None:
    ports = {"clk100": "sysclk", "pcie_clk": "pcie_clk", "cpu_reset": "reset_n", "pcie_reset": "pcie_reset_n"}
    expected = {}
    for resource in U280Platform.resources:
        if resource.name == "ddr4_clk":  # for whoever adds a memory controller
            continue
        pins, name = resource.ios[0], ports.get(resource.name, resource.name)
        if isinstance(pins, DiffPairs):
            expected |= {f"{name}_p": pins.p.names[0], f"{name}_n": pins.n.names[0]}
        else:
            expected[name] = pins.names[0]
    assert board_pins() == expected


def test_the_alarm_of_the_hbm_is_placed_and_never_floats() -> None:
    assert [
        "set_property", "-dict", "PACKAGE_PIN D32 IOSTANDARD LVCMOS18 PULLTYPE PULLDOWN", "[get_ports hbm_cattrip]",
    ] in commands(FILLED["u280_board.xdc"])  # fmt: skip


def test_the_script_synthesises_everything_out_of_context() -> None:
    found = commands(FILLED["synth.tcl"])
    names = [words[0] for words in found]
    assert names == [
        "set", "set", "file", "set_part", "read_verilog", "read_xdc", "synth_design", "report_utilization",
        "report_utilization", "report_timing_summary", "report_ram_utilization", "write_checkpoint", "if",
    ]  # fmt: skip
    assert (
        " ".join(found[names.index("synth_design")]) == "synth_design -top pipeline -part xcu280-fsvh2892-2L-e "
        f"-mode out_of_context -verilog_define {PRIMITIVE_DEFINE}"
    )


def test_the_script_runs_in_a_tcl_whose_commands_only_take_note(tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    for name in ("b.v", "a.v"):
        (tmp_path / "rtl" / name).touch()
    (tmp_path / "synth.tcl").write_text(FILLED["synth.tcl"])
    try:
        from tkinter import Tcl
    except ImportError:  # a Python without it: the script is read above, and that has to do
        return
    tcl = Tcl()
    tcl.eval("set argv place; set called {}; proc unknown args {lappend ::called $args; return}")
    tcl.eval(f"source {{{tmp_path / 'synth.tcl'}}}")
    called = [" ".join(tcl.splitlist(call)) for call in tcl.splitlist(tcl.eval("set called"))]
    called = [call.replace(str(tmp_path.resolve()), "HERE") for call in called]
    assert "read_verilog HERE/rtl/a.v HERE/rtl/b.v" in called
    assert "read_xdc -mode out_of_context HERE/constraints/u280.xdc" in called
    assert called[-1] == "write_checkpoint -force HERE/reports/pipeline_placed.dcp"
    assert (tmp_path / "reports").is_dir()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b; c\n# d {\n e \\\n f", [["a", "b"], ["c"], ["e", "f"]]),
        ('a {b {c} "} "d {e" [f {g ]} "]"] h[i j]k', [["a", 'b {c} "', "d {e", '[f {g ]} "]"]', "h[i j]k"]]),
        (r"a \{ {\}} b\ c", [["a", r"\{", r"\}", r"b\ c"]]),
        ("", []),
    ],
)
def test_the_reader_of_tcl(script: str, expected: list[list[str]]) -> None:
    assert commands(script) == expected


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("a\nb {c\nd", "line 2: '{' is not closed"),
        ("a [b {c]}", "line 1: '[' is not closed"),
        ('a "b', "line 1: '\"' is not closed"),
        ("a }", "line 1: '}' was not opened"),
        ("\na b]", "line 2: ']' was not opened"),
        ("a {b}c", "line 1: 'c' must not follow a closing '}'"),
    ],
)
def test_the_reader_of_tcl_finds_what_is_wrong(script: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        commands(script)
    assert str(error.value) == message
