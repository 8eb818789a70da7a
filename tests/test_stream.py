"""Stream plumbing: nothing lost, doubled or out of order, at a beat a cycle, whatever the pauses."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hdl.delay_registers import delay
from hdl.stream import (
    Fork,
    Pack,
    PipelineBuffer,
    StreamBuffer,
    Unpack,
    buffer_resources,
    connect,
    join,
    pipeline_resources,
    tile,
)
from sim.streams import Deadlock

from .harness import run_streams
from .synthesis import assert_mapped

WORDS = list(range(1, 101))


def test_tile_has_rows_of_lanes() -> None:
    payload = tile(4, 3, signed(9))
    assert payload.size == 4 * 3 * 9
    assert payload[1].offset == 3 * 9  # rows one after the other, lanes inside
    assert payload[1].shape[2].shape == signed(9)


def test_streams_of_different_payloads_do_not_connect() -> None:
    source, sink = StreamBuffer(tile(2, 3, signed(8))), StreamBuffer(tile(3, 2, signed(8)))
    with pytest.raises(TypeError) as error:
        connect(Module(), source.output, sink.input)
    shapes = (tile(2, 3, signed(8)), tile(3, 2, signed(8)))
    assert str(error.value) == f"streams must have one payload shape, not {shapes[0]!r} and {shapes[1]!r}"


class Joined(wiring.Component):
    """The sums of two streams."""

    a: In(stream.Signature(unsigned(8)))
    b: In(stream.Signature(unsigned(8)))
    output: Out(stream.Signature(unsigned(9)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(unsigned(9))
        m.d.comb += buffer.input.valid.eq(join(m, [self.a, self.b], buffer.input.ready))
        m.d.comb += buffer.input.payload.eq(self.a.payload + self.b.payload)
        connect(m, buffer.output, self.output)
        return m


def test_joined_streams_move_together() -> None:
    result = run_streams(Joined(), {"a": WORDS, "b": WORDS[::-1]}, {"output": 100}, gaps=1)
    assert result.outputs["output"] == [101] * 100
    assert (result.accepted["a"] == result.accepted["b"]).all()


@pytest.mark.parametrize("gaps", [None, 2])
@pytest.mark.parametrize("depth", [2, 3, 5, 8])
def test_buffer_keeps_the_order(depth: int, gaps: int | None) -> None:
    result = run_streams(StreamBuffer(unsigned(8), depth), {"input": WORDS}, {"output": 100}, gaps=gaps)
    assert result.outputs["output"] == WORDS
    if gaps is None:
        assert (result.accepted["output"] == result.accepted["input"] + 1).all()
        assert result.cycles == 101


@pytest.mark.parametrize("depth", [2, 3, 5, 8])
def test_buffer_holds_its_depth(depth: int) -> None:
    assert run_streams(StreamBuffer(unsigned(8), depth), {"input": WORDS[:depth]}, {}).cycles == depth
    with pytest.raises(Deadlock):
        run_streams(StreamBuffer(unsigned(8), depth), {"input": WORDS[: depth + 1]}, {}, timeout=20)


def test_buffer_catches_up_after_a_stall() -> None:
    """A beat a cycle leaves while the output is ready, also right after it was not."""
    buffer, taken = StreamBuffer(unsigned(8)), []

    async def testbench(ctx: Any) -> None:
        sent = 0
        for cycle in range(40):
            ctx.set(buffer.input.valid, 1)
            ctx.set(buffer.input.payload, sent)
            ctx.set(buffer.output.ready, cycle % 7 not in (2, 3))
            _, _, accepted, valid, payload = await ctx.tick().sample(
                buffer.input.ready, buffer.output.valid, buffer.output.payload
            )
            sent += accepted
            if cycle % 7 not in (2, 3) and cycle > 0:
                assert valid
                taken.append(payload)

    simulator = Simulator(buffer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert taken == list(range(len(taken)))


def test_buffer_handshakes_come_from_registers() -> None:
    """`ready` at the input does not follow `ready` at the output within a cycle, nor `valid` `valid`."""
    buffer = StreamBuffer(unsigned(8))

    async def testbench(ctx: Any) -> None:
        for value in (1, 2):
            ctx.set(buffer.input.payload, value)
            ctx.set(buffer.input.valid, 1)
            assert ctx.get(buffer.output.valid) == (value == 2)
            await ctx.tick()
        assert not ctx.get(buffer.input.ready)
        ctx.set(buffer.output.ready, 1)
        assert not ctx.get(buffer.input.ready)

    simulator = Simulator(buffer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


class Delayed(wiring.Component):
    """A pipeline of so many registers that never stalls, and the buffer behind it."""

    def __init__(self, stages: int, depth: int):
        self.stages, self.depth = stages, depth
        word = stream.Signature(unsigned(8))
        super().__init__({"input": In(word), "output": Out(word)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = PipelineBuffer(unsigned(8), self.depth)
        go = join(m, [self.input], buffer.room)
        m.d.comb += [
            buffer.take.eq(go),
            buffer.push.eq(delay(m, "go", go, self.stages, control=True)),
            buffer.payload.eq(delay(m, "value", self.input.payload, self.stages)),
        ]
        connect(m, buffer.output, self.output)
        return m


@pytest.mark.parametrize("gaps", [None, 3, 4])
@pytest.mark.parametrize("stages", [0, 1, 4])
def test_pipeline_buffer_loses_nothing(stages: int, gaps: int | None) -> None:
    result = run_streams(Delayed(stages, stages + 2), {"input": WORDS}, {"output": 100}, gaps=gaps)
    assert result.outputs["output"] == WORDS
    if gaps is None:
        assert (result.accepted["output"] == result.accepted["input"] + stages + 1).all()
        assert result.cycles == 100 + stages + 1


def test_shallow_pipeline_buffer_is_slow_and_right() -> None:
    result = run_streams(Delayed(4, 3), {"input": WORDS}, {"output": 100})
    assert result.outputs["output"] == WORDS
    assert result.cycles == pytest.approx(100 * 6 / 3, abs=6)  # three beats a round trip


@pytest.mark.parametrize("gaps", [None, 5])
def test_fork_gives_everything_to_everyone(gaps: int | None) -> None:
    outputs = {f"outputs__{i}": 100 for i in range(3)}
    result = run_streams(Fork(unsigned(8), 3), {"input": WORDS}, outputs, gaps=gaps)
    assert all(result.outputs[name] == WORDS for name in outputs)
    if gaps is None:
        assert result.cycles == 101


def test_fork_runs_ahead_by_its_depth() -> None:
    """A reader that takes nothing does not stop the others before its own buffer is full."""
    fork = Fork(unsigned(8), 2, 3)
    result = run_streams(fork, {"input": WORDS[:3]}, {"outputs__0": 3})
    assert result.outputs["outputs__0"] == WORDS[:3]


def gathered(values: np.ndarray, ratio: int, beats: int) -> np.ndarray:
    """Beats [n, rows, lanes] in words [m, rows, lanes * ratio], each row of beats filled up with zeros."""
    _, rows, lanes = values.shape
    words = -(-beats // ratio)
    whole = np.zeros((len(values) // beats, words * ratio, rows, lanes), dtype=np.int64)
    whole[:, :beats] = values.reshape(-1, beats, rows, lanes)
    return whole.reshape(-1, ratio, rows, lanes).swapaxes(1, 2).reshape(-1, rows, ratio * lanes)


@pytest.mark.parametrize("gaps", [None, 6])
@pytest.mark.parametrize(("rows", "lanes", "ratio", "beats"), [(2, 1, 4, 8), (1, 3, 2, 5), (2, 2, 1, 3), (3, 1, 8, 3)])
class TestPacking:
    """`Pack` and `Unpack`, each the inverse of the other."""

    def test_pack(self, rows: int, lanes: int, ratio: int, beats: int, gaps: int | None) -> None:
        values = np.random.default_rng(1).integers(-128, 128, (4 * beats, rows, lanes))
        words = gathered(values, ratio, beats)
        pack = Pack(rows, lanes, ratio, signed(8), beats=beats)
        result = run_streams(pack, {"input": values}, {"output": len(words)}, gaps=gaps)
        np.testing.assert_array_equal(result.outputs["output"], words)
        if gaps is None:
            assert result.cycles == len(values) + 1

    def test_unpack(self, rows: int, lanes: int, ratio: int, beats: int, gaps: int | None) -> None:
        values = np.random.default_rng(2).integers(-128, 128, (4 * beats, rows, lanes))
        words = gathered(values, ratio, beats)
        unpack = Unpack(rows, lanes, ratio, signed(8), beats=beats)
        assert unpack.words * 4 == len(words)
        result = run_streams(unpack, {"input": words}, {"output": len(values)}, gaps=gaps)
        np.testing.assert_array_equal(result.outputs["output"], values)
        if gaps is None:
            assert result.cycles == len(values) + 1


def test_emitted_verilog_packs() -> None:
    values = np.random.default_rng(3).integers(-128, 128, (15, 2, 2))
    words = gathered(values, 3, 5)
    pack = Pack(2, 2, 3, signed(8), beats=5)
    result = run_streams(pack, {"input": values}, {"output": len(words)}, gaps=7, simulator="verilator")
    np.testing.assert_array_equal(result.outputs["output"], words)


def test_a_reset_starts_anew() -> None:
    values = np.random.default_rng(4).integers(-128, 128, (10, 1, 1))
    pack = Pack(1, 1, 4, signed(8), beats=5)
    result = run_streams(pack, {"input": values}, {"output": 4}, reset_at=7)
    np.testing.assert_array_equal(result.outputs["output"], gathered(values, 4, 5))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        StreamBuffer(unsigned(8), 1)
    assert str(error.value) == "stream buffer depth must be at least 2, not 1"
    with pytest.raises(ValueError) as error:
        Pack(1, 1, 0, signed(8), beats=5)
    assert str(error.value) == "pack sizes must be at least 1, not (1, 1, 0, 5)"
    with pytest.raises(ValueError) as error:
        Unpack(1, 1, 2, signed(8), beats=0)
    assert str(error.value) == "unpack sizes must be at least 1, not (1, 1, 2, 0)"


def test_resources_of_buffers_are_those_of_synthesis() -> None:
    sizes = [(64, 2), (24, 20), (30, 100)]
    buffers = [(StreamBuffer(unsigned(width), depth), buffer_resources(width, depth)) for width, depth in sizes]
    assert_mapped([*buffers, (PipelineBuffer(unsigned(64), 19), pipeline_resources(64, 19))])
