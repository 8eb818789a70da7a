"""The timing of mapped logic: levels, loads, paths from port to port, and loops, of modules whose figures are known."""

import re
from collections import Counter
from pathlib import Path

import pytest

from hdl.top.emitter import VerilogModule
from sim.mapping import map_modules
from sim.netlist import Bit, Cell, Netlist
from sim.primitives import role
from sim.timing import ModuleTiming, analyse
from sim.timing_gate import READY_TO_READY, THROUGH, changes, failures, known, worst, write

# The AND of 11 registers takes two levels of LUTs of 6 inputs.
WIDE = """
module wide(input clk, input [10:0] d, output reg q);
  reg [10:0] held;
  always @(posedge clk) begin held <= d; q <= &held; end
endmodule
"""
ADDER = """
module adder(input clk, input [15:0] a, output reg [15:0] sum);
  reg [15:0] held;
  always @(posedge clk) begin held <= a; sum <= held + a; end
endmodule
"""
ENABLED = """
module enabled(input clk, input go, input [299:0] d, output reg [299:0] q, output reg [199:0] y);
  reg kept, all;
  always @(posedge clk) begin
    kept <= go;
    all <= ~go;
    if (kept) q <= d;
    y <= {200{all}} & d[199:0];
  end
endmodule
"""
UNIT = """
module unit(input clk, input ready, input [7:0] x, output before__ready, output reg [7:0] y, output [7:0] z);
  reg busy;
  assign before__ready = ready & ~busy;
  assign z = x ^ y;
  always @(posedge clk) begin busy <= ready; y <= x; end
endmodule
"""
TWO = """
module two(input clk, input [10:0] d, output reg q, output reg [7:0] late);
  wire joined, between;
  wire [7:0] y, z;
  reg [7:0] x;
  wide first(.clk(clk), .d(d), .q(joined));
  unit second(.clk(clk), .ready(joined), .x(x), .before__ready(between), .y(y), .z(z));
  always @(posedge clk) begin x <= y; q <= between ^ x[0]; late <= z; end
endmodule
"""
TEXTS = {"wide": WIDE, "adder": ADDER, "enabled": ENABLED, "unit": UNIT, "two": TWO}


@pytest.fixture(scope="module")
def netlists() -> dict[str, Netlist]:
    modules = {
        name: VerilogModule(name, name, None, text, Counter(set(re.findall(r"^  (\w+) ", text, re.M)) & {*TEXTS}))
        for name, text in TEXTS.items()
    }
    return map_modules(modules, processes=1)


@pytest.fixture(scope="module")
def timing(netlists: dict[str, Netlist]) -> dict[str, ModuleTiming]:
    return analyse(netlists, "two")


def test_levels_between_registers_are_counted(timing: dict[str, ModuleTiming]) -> None:
    worst = timing["wide"].worst
    assert worst is not None
    assert worst.deepest.levels == 2
    # Clock to output, two LUTs, the nets to them and to the register, and its setup.
    assert worst.deepest.delay == pytest.approx(0.09 + 2 * 0.15 + 3 * 0.25 + 0.03)
    words = str(worst.deepest).split(" -> ")
    assert (words[0][:10], words[1][:3], words[2][:3], words[3]) == ("wide.held[", "LUT", "LUT", "D of FDRE wide.q")


def test_a_chain_of_carries_is_one_level_however_long(netlists: dict[str, Netlist]) -> None:
    worst = analyse({"adder": netlists["adder"]}, "adder")["adder"].worst
    assert worst is not None
    assert netlists["adder"].counts["CARRY4"] == 4
    assert worst.deepest.levels == 2, "a LUT and the chain"


def test_a_chain_within_a_module_has_no_nets_between_its_carries() -> None:
    zeros: list[Bit] = ["0", "0", "0", "0"]
    first = Cell("first", "CARRY4", {"S": [2, "0", "0", "0"], "DI": zeros, "CI": ["0"]}, {"CO": [3, 4, 5, 6]})
    second = Cell("second", "CARRY4", {"S": zeros, "DI": zeros, "CI": [6]}, {"O": [7, 8, 9, 10]})
    child = Netlist("child", {"a": [2]}, {}, [first, second, Cell("sum", "FDRE", {"D": [7]}, {"Q": [11]})], {})
    cells = [Cell("x", "FDRE", {"D": [2]}, {"Q": [3]}), Cell("child_1", "child", {"a": [3]}, {})]
    worst = analyse({"top": Netlist("top", {"d": [2]}, {}, cells, {}), "child": child}, "top")["top"].worst
    assert worst is not None
    # A LUT leads into the chain, which the next four bits continue. Each of the two nets has one load.
    assert worst.deepest[:2] == (2, pytest.approx(0.09 + 0.25 + 0.15 + 0.2 + 0.015 + 0.25 + 0.03))


def test_loads_are_counted_by_role(netlists: dict[str, Netlist]) -> None:
    found = analyse({"enabled": netlists["enabled"]}, "enabled")
    loads = found["enabled"].nets
    assert loads["enabled.kept"].enable == 300
    assert loads["enabled.all"].data + loads["enabled.all"].reset == 200
    assert loads["enabled.clk"].clock == 502
    assert {(one.limit, one.value) for one in failures(found)} == {
        ("clock enables of a net", 300),
        ("loads of a net", 200),
    }


def test_paths_and_nets_lead_through_modules(timing: dict[str, ModuleTiming]) -> None:
    worst = timing["two"].worst
    assert worst is not None
    # From a register of one module, through a LUT in another one and a LUT between, to a register.
    assert worst.deepest.levels == 2
    words = str(worst.deepest).split(" -> ")
    assert (words[0], words[1][:3], words[2][:3], words[3]) == ("wide.q", "LUT", "LUT", "D of FDRE two.q")
    # The first net has two loads.
    assert worst.deepest.delay == pytest.approx(0.09 + 0.30 + 0.15 + 0.25 + 0.15 + 0.25 + 0.03)
    assert timing["two"].nets["two.joined"].data == 2, "the inputs of a LUT and of a register in the unit"


def test_paths_from_port_to_port_are_failures(timing: dict[str, ModuleTiming]) -> None:
    unit = {"unit": timing["unit"], "wide": timing["wide"]}
    found = {(one.module, one.limit): one.value for one in failures(unit)}
    assert found == {("unit", THROUGH): 1, ("unit", READY_TO_READY): 1}
    assert worst(unit, {"unit": "a kind", "wide": "another"}) == {"a kind": {THROUGH: 1, READY_TO_READY: 1}}
    assert set(timing["unit"].through) == {("x", "z"), ("ready", "before__ready")}


def test_a_black_box_begins_and_ends_paths(netlists: dict[str, Netlist]) -> None:
    found = analyse({"two": netlists["two"]}, "two", black_boxes=["wide", "unit"])["two"]
    assert found.worst is not None
    # The path through the unit counts from its output: two levels less one.
    assert found.worst.deepest.levels == 1


def test_loops_and_unknown_cells_are_refused() -> None:
    loop = [
        Cell("a", "LUT1", {"I0": [2]}, {"O": [3]}),
        Cell("b", "LUT1", {"I0": [3]}, {"O": [2]}),
        Cell("c", "FDRE", {"D": [2], "C": [4]}, {"Q": [5]}),
    ]
    with pytest.raises(ValueError, match="^combinational loop through top.around$"):
        analyse({"top": Netlist("top", {}, {}, loop, {"around": [2]})}, "top")
    latch = [Cell("a", "LDCE", {"D": [2], "G": [3]}, {"Q": [4]})]
    with pytest.raises(ValueError, match="^a cell of type LDCE cannot be timed: it is no known primitive$"):
        analyse({"top": Netlist("top", {}, {}, latch, {})}, "top")


def test_a_netlist_is_written_and_read(netlists: dict[str, Netlist]) -> None:
    for one in netlists.values():
        assert Netlist.read(one.write()) == one


def test_the_roles_of_pins() -> None:
    pins = {"CEP": "enable", "RSTP": "reset", "A": "data", "CLK": "clock"}
    dsp = Cell("dsp", "DSP48E2", {pin: [2] for pin in pins}, {"P": [3]}, registers=1)
    assert {pin: role(dsp, pin) for pin in pins} == pins


def test_new_greater_and_mended_failures_are_changes(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    file.write_text('{"one": {"a": {"LUT levels": 7, "loads of a net": 200}, "b": {"LUT levels": 6}}}')
    listed = known(file, "one")
    assert changes(listed, listed) == []
    assert changes({"a": {"LUT levels": 6, "loads of a net": 200}, "b": {"LUT levels": 6}}, listed) == []
    assert changes({"a": {"LUT levels": 8}, "c": {"paths from port to port": 1}}, listed) == [
        "a: 8 LUT levels, listed 7, limit 5",
        "a: loads of a net are within the limit, so the list must lose their entry",
        "b: LUT levels are within the limit, so the list must lose their entry",
        "c: 1 paths from port to port, listed none, limit 0",
    ]
    assert known(file, "another") == {}


def test_a_list_is_written_design_by_design(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    file.write_text("{}")
    first, second = {"unit": {THROUGH: 2}}, {"unit": {READY_TO_READY: 1}, "array": {THROUGH: 3}}
    write(file, "one", first)
    write(file, "other", first)
    write(file, "one", second)
    assert known(file, "one") == second
    assert list(known(file, "one")) == ["array", "unit"]
    assert known(file, "other") == first
