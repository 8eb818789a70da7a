"""The Verilator runner, on small designs written in Verilog by hand."""

import os
import tempfile

import numpy as np
import pytest

from hdl.errors import InputError
from sim import toolchain
from sim.programs import BuildError, Programs
from sim.simulation import Repeated
from sim.streams import Deadlock, Gaps, ProtocolError, StreamPort
from sim.verilator import DRIVER, build, lint

PORTS = [StreamPort("a", "in", 8), StreamPort("b", "in", 8), StreamPort("total", "out", 12)]

# Adds a beat of each of two streams to a running total, and gives out that; holds it in one register.
ADDER = """
module adder(
    input clk, input rst,
    input [7:0] a__payload, input a__valid, output a__ready,
    input [7:0] b__payload, input b__valid, output b__ready,
    output reg [11:0] total__payload, output reg total__valid, input total__ready
);
    wire go = a__valid & b__valid & (total__ready | ~total__valid);
    assign a__ready = go;
    assign b__ready = go;
    initial total__valid = 0;
    initial total__payload = 0;
    always @(posedge clk) begin
        if (total__ready) total__valid <= 0;
        if (go) begin
            total__valid <= 1;
            total__payload <= total__payload + {4'd0, a__payload} + {4'd0, b__payload};
        end
        if (rst) begin
            total__valid <= 0;
            total__payload <= 0;
        end
    end
endmodule
"""


def wire(width):
    """A design that is nothing but wires from its input to its output: it has no clock."""
    return f"""
module wires(
    input [{width - 1}:0] x__payload, input x__valid, output x__ready,
    output [{width - 1}:0] y__payload, output y__valid, input y__ready
);
    assign y__payload = x__payload;
    assign y__valid = x__valid;
    assign x__ready = y__ready;
endmodule
"""


def wire_ports(width):
    return [StreamPort("x", "in", width), StreamPort("y", "out", width)]


def column(values):
    """Payloads of up to 32 bits as beats."""
    return np.array(values, np.uint32).reshape(-1, 1)


@pytest.fixture(scope="module")
def adder():
    return build({"adder.v": ADDER}, "adder", PORTS)


def test_a_run_and_its_cycles(adder):
    result = adder.run({"a": column([1, 2, 3]), "b": column([10, 20, 30])}, {"total": 3})
    assert result.outputs["total"].tolist() == [[11], [33], [66]]
    assert result.outputs["total"].dtype == np.uint32
    assert result.accepted["a"].tolist() == [0, 1, 2]
    assert result.accepted["b"].tolist() == [0, 1, 2]
    assert result.accepted["total"].tolist() == [1, 2, 3]
    assert result.cycles == 4


@pytest.mark.parametrize("seed", range(5))
def test_gaps_change_the_cycles_and_not_the_values(adder, seed):
    a, b = np.random.default_rng(seed).integers(0, 256, (2, 200))
    inputs = {"a": column(a), "b": column(b)}
    result = adder.run(inputs, {"total": 200}, gaps=seed)
    assert (result.outputs["total"][:, 0] == np.cumsum(a + b) % 4096).all()
    assert result.cycles > 201
    assert (adder.run(inputs, {"total": 200}, gaps=seed).accepted["total"] == result.accepted["total"]).all()


def test_gaps_are_those_of_the_python_side(adder):
    gaps = {name: Gaps(3, index) for index, name in enumerate(["a", "b", "total"])}
    waiting = {"a": False, "b": False, "total": False}
    accepted = {"a": [], "total": []}
    full = False
    for cycle in range(200):
        moves = {name: gap.toss() for name, gap in gaps.items()}
        valid = {name: waiting[name] or moves[name] for name in ("a", "b")}
        ready = moves["total"] and (full or not gaps["total"].patient)
        go = valid["a"] and valid["b"] and (ready or not full)
        if go:
            accepted["a"].append(cycle)
        if full and ready:
            accepted["total"].append(cycle)
        waiting = {"a": valid["a"] and not go, "b": valid["b"] and not go}
        full = go or (full and not ready)
    result = adder.run({"a": column(range(40)), "b": column(range(40))}, {"total": 39}, gaps=3)
    assert result.accepted["a"].tolist() == accepted["a"][:40]
    assert result.accepted["total"].tolist() == accepted["total"][:39]


def test_state_carries_on_until_reset(adder):
    one = {"a": column([1]), "b": column([1])}
    with adder.start() as simulation, adder.start() as other:
        assert simulation.run(one, {"total": 1}).outputs["total"].tolist() == [[2]]
        assert simulation.run(one, {"total": 1}).outputs["total"].tolist() == [[4]]
        assert other.run(one, {"total": 1}).outputs["total"].tolist() == [[2]]
        # What one run leaves in the design, the next one takes.
        assert simulation.run(one, {}).outputs == {}
        assert simulation.run({}, {"total": 1}).outputs["total"].tolist() == [[6]]
        simulation.reset()
        assert simulation.run(one, {"total": 1}).outputs["total"].tolist() == [[2]]
    with pytest.raises(ValueError, match="^a simulation must not be used after it was closed$"):
        simulation.run(one, {})


def test_reset_in_the_middle_gives_what_a_fresh_run_gives(adder):
    inputs = {"a": column(range(50)), "b": column(range(50))}
    fresh = adder.run(inputs, {"total": 50}, gaps=4)
    again = adder.run(inputs, {"total": 50}, gaps=4, reset_at=20)
    assert (again.outputs["total"] == fresh.outputs["total"]).all()
    assert (again.accepted["total"] == fresh.accepted["total"]).all()
    with pytest.raises(ValueError, match="^reset_at must be before the end of the run, at cycle 51, not 500$"):
        adder.run(inputs, {"total": 50}, reset_at=500)


def test_repeated_inputs(adder):
    result = adder.run({"a": Repeated(column([1, 2]), 3), "b": column([0] * 6)}, {"total": 6})
    assert result.outputs["total"][:, 0].tolist() == [1, 3, 4, 6, 7, 9]
    assert len(result.accepted["a"]) == 6


def test_deadlock_says_what_is_missing(adder):
    with pytest.raises(Deadlock) as error:
        adder.run({"a": column([1, 2, 3]), "b": column([1])}, {"total": 2}, max_idle=50)
    assert str(error.value) == (
        "no handshake for 50 cycles, at cycle 52: input a has 2 of 3 beats left; output total gave 1 of 2 beats"
    )


def test_too_many_cycles(adder):
    with pytest.raises(TimeoutError, match="^the run must end within 7 cycles; input a has 3 of 10 beats left; "):
        adder.run({"a": column(range(10)), "b": column(range(10))}, {"total": 10}, max_cycles=7)


def test_progress(adder):
    seen = []
    many = column(np.zeros(30_000))
    adder.run(
        {"a": many, "b": many}, {"total": 30_000}, progress=lambda cycle, moved: seen.append((cycle, dict(moved)))
    )
    assert seen[0] == (1000, {"a": 1000, "b": 1000, "total": 999})
    assert seen[-1] == (30_001, {"a": 30_000, "b": 30_000, "total": 30_000})


@pytest.mark.parametrize("width", [1, 9, 32, 64, 130])
def test_every_width(width):
    words = -(-width // 32)
    rng = np.random.default_rng(width)
    raw = rng.integers(0, 1 << 32, (20, words), dtype=np.uint32)
    raw[:, -1] >>= np.uint32(32 * words - width)
    result = build({"wires.v": wire(width)}, "wires", wire_ports(width)).run({"x": raw}, {"y": 20}, gaps=width)
    assert (result.outputs["y"] == raw).all()
    assert (result.accepted["y"] == result.accepted["x"]).all()


def test_an_output_that_does_not_hold_is_found():
    restless = """
        module restless(input clk, output reg [7:0] y__payload, output y__valid, input y__ready);
            initial y__payload = 0;
            assign y__valid = 1;
            always @(posedge clk) y__payload <= y__payload + 1;
        endmodule
    """
    design = build({"restless.v": restless}, "restless", [StreamPort("y", "out", 8)])
    assert design.run({}, {"y": 3}).outputs["y"].tolist() == [[0], [1], [2]]
    with pytest.raises(
        ProtocolError, match="^output y did not hold valid and payload while waiting for ready, at cycle 1$"
    ):
        design.run({}, {"y": 100}, gaps=next(seed for seed in range(9) if not Gaps(seed, 0).toss()))


def test_an_output_that_waits_for_ready_is_found():
    shy = wire(8).replace("assign y__valid = x__valid", "assign y__valid = x__valid & y__ready")
    design = build({"wires.v": shy}, "wires", wire_ports(8))
    design.run({"x": column(range(64))}, {"y": 64})
    with pytest.raises(Deadlock, match="input x has"):
        for seed in range(8):
            design.run({"x": column(range(64))}, {"y": 64}, gaps=seed, max_idle=20)


def test_what_verilator_cannot_settle_is_an_error_and_not_the_end_of_the_process():
    looping = wire(8).replace("assign y__payload = x__payload", "wire [7:0] z = ~z + x__payload; assign y__payload = z")
    design = build({"wires.v": looping}, "wires", wire_ports(8))
    with pytest.raises(RuntimeError, match="^the simulation failed at cycle 0: .*did not converge"):
        design.run({"x": column([0])}, {"y": 1})


def test_waves(tmp_path):
    design = build({"wires.v": wire(8)}, "wires", wire_ports(8), trace=True)
    design.run({"x": column([0xA5])}, {"y": 1}, waves=tmp_path / "waves.vcd")
    assert "b10100101" in (tmp_path / "waves.vcd").read_text()
    with pytest.raises(InputError, match="^waves file .* cannot be written; choose a file in a folder that can$"):
        design.run({"x": column([1])}, {"y": 1}, waves=tmp_path / "missing" / "waves.vcd")


def test_waves_need_trace(adder, tmp_path):
    with pytest.raises(ValueError, match="^a design must be built with trace=True to write waves$"):
        adder.run({}, {}, waves=tmp_path / "waves.vcd")


def test_two_threads():
    design = build({"adder.v": ADDER}, "adder", PORTS, threads=2)
    assert design.run({"a": column([1]), "b": column([2])}, {"total": 1}).outputs["total"].tolist() == [[3]]


@pytest.mark.parametrize(
    ("inputs", "expect", "message"),
    [
        ({"c": column([1])}, {}, "input 'c' is unknown; known: a, b"),
        ({}, {"a": 1}, "output 'a' is unknown; known: total"),
        ({"a": np.array([[1]])}, {}, "beats of a must be uint32 [n, 1], not int64 [1, 1]"),
        ({"a": np.zeros((1, 2), np.uint32)}, {}, "beats of a must be uint32 [n, 1], not uint32 [1, 2]"),
        ({"a": column([256])}, {}, "beats of a must be zero above bit 7"),
    ],
)
def test_wrong_arguments(adder, inputs, expect, message):
    with pytest.raises(ValueError) as error:
        adder.run(inputs, expect)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        (PORTS[:2], "module adder must have no ports but clk, rst and the streams; left over: total__payload, "),
        ([*PORTS, StreamPort("d", "in", 1)], "module adder must have a port d__payload; it has: "),
        ([*PORTS[:2], StreamPort("total", "out", 8)], "must be an output of 8 bits, not an output of 12"),
        ([*PORTS[:2], StreamPort("total", "in", 12)], "must be an input of 12 bits, not an output of 12"),
    ],
)
def test_ports_that_the_verilog_does_not_have(ports, message):
    with pytest.raises(ValueError) as error:
        build({"adder.v": ADDER}, "adder", ports)
    assert message in str(error.value)


def test_verilog_that_is_wrong():
    with pytest.raises(BuildError) as error:
        build({"wrong.v": "module wrong(; endmodule"}, "wrong", [])
    line = "%Error: wrong.v:1:14: syntax error, unexpected ';', expecting '['"
    assert str(error.value) == f"verilator_bin failed with exit code 1: {line}"
    assert "%Error: Exiting due to 1 error(s)" in error.value.__notes__[0]


def test_a_library_that_was_cut_short_is_built_again():
    library = build({"wires.v": wire(9)}, "wires", wire_ports(9), optimise="-O0").library
    whole = library.stat().st_size
    os.truncate(library, whole // 2)  # to load it would end the process with a bus error
    design = build({"wires.v": wire(9)}, "wires", wire_ports(9), optimise="-O0")
    assert design.library.stat().st_size == whole
    assert design.run({"x": column([500])}, {"y": 1}).outputs["y"].tolist() == [[500]]


@pytest.mark.parametrize("name", ["a blank", 'a"quote', "an\nend of line"])
def test_folders_of_any_name(name, monkeypatch, tmp_path):
    # Objects that all designs share come from the usual cache, and headers are not precompiled: both take long.
    with Programs() as programs:
        shared = {
            source: toolchain._shared(programs, source) for source in toolchain.shared_sources(DRIVER, trace=False)
        }
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("SPATIAL_LLM_CACHE", str(folder))
    monkeypatch.setattr("sim.toolchain.is_gcc", lambda: False)
    monkeypatch.setattr("sim.toolchain._shared", lambda programs, source: shared[source])
    design = build({"wires.v": wire(8)}, "wires", wire_ports(8), optimise="-O0")
    assert design.library.is_relative_to(folder)
    assert design.run({"x": column([5, 6])}, {"y": 2}).outputs["y"].tolist() == [[5], [6]]
    assert lint({"wires.v": wire(8)}, "wires") == []


def test_lint(tmp_path):
    sloppy = wire(8).replace("assign y__valid = x__valid", "assign y__valid = x__payload")
    findings = lint({"wires.v": sloppy}, "wires")
    assert {finding.rule for finding in findings} == {"WIDTHTRUNC", "UNUSEDSIGNAL"}
    assert str(findings[0]).startswith("wires.v:7: ")
    waivers = tmp_path / "waivers.vlt"
    waivers.write_text("`verilator_config\nlint_off -rule WIDTHTRUNC\nlint_off -rule UNUSEDSIGNAL\n")
    assert lint({"wires.v": sloppy}, "wires", waivers=waivers) == []
    assert lint({"wires.v": wire(8)}, "wires") == []
    assert lint({"wires.v": f"`ifdef RIGHT\n{wire(8)}`else\n{sloppy}`endif\n"}, "wires", defines=["RIGHT"]) == []


def test_sources_from_files(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wires.v").write_text(wire(8))
    design = build([tmp_path / "one" / "wires.v"], "wires", wire_ports(8))
    assert design == build({"wires.v": wire(8)}, "wires", wire_ports(8))
    with pytest.raises(ValueError, match=r"^source files must have different names, not wires\.v, wires\.v$"):
        build(sorted(tmp_path.glob("*/wires.v")), "wires", wire_ports(8))
