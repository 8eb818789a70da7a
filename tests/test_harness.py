"""The harness itself: both simulators agree, and it finds what it is there to find."""

import numpy as np
import pytest
from amaranth.hdl import Module, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.stream import Fork, StreamBuffer, tile
from sim.streams import Deadlock, ProtocolError
from tests.harness import run_streams

TILE = tile(2, 3, signed(5))


class Faulty(wiring.Component):
    """A wire with a fault: `withdraw`s valid when it is not taken at once, or is `shy`: valid only when ready."""

    x: In(stream.Signature(unsigned(8)))
    y: Out(stream.Signature(unsigned(8)))

    def __init__(self, fault):
        self.fault = fault
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.y.payload.eq(self.x.payload), self.x.ready.eq(self.y.ready)]
        if self.fault == "shy":
            m.d.comb += self.y.valid.eq(self.x.valid & self.y.ready)
        else:
            m.d.sync += self.y.valid.eq(~self.y.valid)
        return m


def random_tiles(count):
    return np.random.default_rng(count).integers(-16, 16, (count, 2, 3))


@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
@pytest.mark.parametrize("gaps", [None, 1, 2])
@pytest.mark.parametrize("reset_at", [None, 17])
def test_a_fifo_gives_back_what_it_got(simulator, gaps, reset_at):
    tiles = random_tiles(40)
    result = run_streams(
        StreamBuffer(TILE, 4), {"input": tiles}, {"output": 40}, gaps=gaps, simulator=simulator, reset_at=reset_at
    )
    assert (result.outputs["output"] == tiles).all()
    assert result.latency("input", "output") == 1 or gaps is not None
    assert result.cycles == result.accepted["output"][-1] + 1


@pytest.mark.parametrize("gaps", [None, *range(4)])
def test_both_simulators_agree_to_the_cycle(gaps):
    results = [
        run_streams(
            Fork(8, 2), {"input": range(99)}, {"outputs__0": 99, "outputs__1": 99}, gaps=gaps, simulator=simulator
        )
        for simulator in ("amaranth", "verilator")
    ]
    assert results[0].outputs == results[1].outputs == {"outputs__0": [*range(99)], "outputs__1": [*range(99)]}
    assert results[0].cycles == results[1].cycles
    for port in ("input", "outputs__0", "outputs__1"):
        assert (results[0].accepted[port] == results[1].accepted[port]).all()


def test_outputs_by_shape():
    pair = data.StructLayout({"low": 4, "high": signed(4)})
    pairs = run_streams(StreamBuffer(pair), {"input": {"low": [1, 15], "high": [-8, 7]}}, {"output": 2}).outputs[
        "output"
    ]
    assert {name: values.tolist() for name, values in pairs.items()} == {"low": [1, 15], "high": [-8, 7]}
    assert run_streams(StreamBuffer(signed(9)), {"input": [-256, 255]}, {"output": 2}).outputs["output"] == [-256, 255]


@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
def test_deadlock(simulator):
    with pytest.raises(Deadlock) as error:
        run_streams(Fork(8, 2), {"input": range(5)}, {"outputs__0": 5}, simulator=simulator, timeout=30)
    assert str(error.value) == (
        "no handshake for 30 cycles, at cycle 33: "
        "input input has 3 of 5 beats left; output outputs__0 gave 2 of 5 beats"
    )


@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
def test_an_output_that_withdraws_valid(simulator):
    with pytest.raises(
        ProtocolError, match="^output y did not hold valid and payload while waiting for ready, at cycle "
    ):
        run_streams(Faulty("withdraw"), {}, {"y": 90}, gaps=1, simulator=simulator)


@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
def test_an_output_that_waits_for_ready(simulator):
    with pytest.raises(Deadlock, match="input x has"):
        for seed in range(8):
            run_streams(Faulty("shy"), {"x": [0] * 90}, {"y": 90}, gaps=seed, simulator=simulator, timeout=25)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="^input 'output' is unknown; known: input$"):
        run_streams(StreamBuffer(8), {"output": [1]}, {})
    with pytest.raises(ValueError, match="^reset_at must be before the end of the run, at cycle 3, not 9$"):
        run_streams(StreamBuffer(8), {"input": [1, 2]}, {"output": 2}, reset_at=9)


def test_members_that_are_no_streams_are_refused():
    class Plain(wiring.Component):
        x: In(8)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += Value.cast(self.x).eq(0)
            return m

    with pytest.raises(TypeError, match=r"^member x of Plain must be a stream, not In\(8\)$"):
        run_streams(Plain(), {}, {})


def test_waves(tmp_path):
    for simulator in ("amaranth", "verilator"):
        waves = tmp_path / f"{simulator}.vcd"
        run_streams(StreamBuffer(8), {"input": [0xA5]}, {"output": 1}, simulator=simulator, waves=waves)
        assert "b10100101" in waves.read_text()
