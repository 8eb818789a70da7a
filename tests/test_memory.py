"""RAMs and the replay buffer: what is read, when, and how soon its place is free again."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hdl.memory import ReplayBuffer, ReplayControl, ReplayOrder, ReplaySpec
from hdl.stream import connect
from sim.streams import Deadlock

from .harness import StreamResult, run_streams
from .synthesis import assert_mapped


class Replay(wiring.Component):
    """A replay buffer whose outputs carry `last` in their payload."""

    def __init__(self, depth: int, max_repeat: int, style: str = "distributed"):
        self.depth, self.max_repeat, self.style = depth, max_repeat, style
        self.payload = data.StructLayout({"word": unsigned(8), "last": 1})
        super().__init__(
            {
                "input": In(stream.Signature(unsigned(8))),
                "order": In(stream.Signature(ReplayOrder(depth, max_repeat))),
                "output": Out(stream.Signature(self.payload)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.replay = replay = ReplayBuffer(unsigned(8), ReplaySpec(8, self.depth, self.style, self.max_repeat))
        connect(m, self.input, replay.input)
        connect(m, self.order, replay.order)
        m.d.comb += [
            self.output.payload.word.eq(replay.output.payload),
            self.output.payload.last.eq(replay.last),
            self.output.valid.eq(replay.output.valid),
            replay.output.ready.eq(self.output.ready),
        ]
        return m


def replay(buffer: Replay, orders: list[tuple[int, int]], **options: Any) -> StreamResult:
    """Runs orders (length, repeat) over words that count up, and compares what comes out."""
    words = np.arange(sum(length for length, _ in orders)) % 251
    expected, lasts, start = [], [], 0
    for length, repeat in orders:
        expected += [*words[start : start + length]] * repeat
        lasts += ([0] * (length - 1) + [1]) * repeat
        start += length
    lengths, repeats = zip(*orders, strict=True)
    inputs = {"input": words, "order": {"length": lengths, "repeat": repeats}}
    result = run_streams(buffer, inputs, {"output": len(expected)}, **options)
    np.testing.assert_array_equal(result.outputs["output"]["word"], expected)
    np.testing.assert_array_equal(result.outputs["output"]["last"], lasts)
    return result


def random_orders(depth: int, max_repeat: int, seed: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    extremes = [(1, 1), (depth, max_repeat), (depth, 1), (1, max_repeat), (depth, 2 if max_repeat > 1 else 1)]
    return extremes + [(int(rng.integers(1, depth + 1)), int(rng.integers(1, max_repeat + 1))) for _ in range(12)]


@pytest.mark.parametrize("gaps", [None, 1, 2])
@pytest.mark.parametrize(("depth", "max_repeat"), [(8, 4), (11, 3), (1, 2), (6, 1)])
def test_replay_reads_every_order_its_times(depth: int, max_repeat: int, gaps: int | None) -> None:
    replay(Replay(depth, max_repeat), random_orders(depth, max_repeat, seed=depth), gaps=gaps)


def test_replay_in_a_ram_of_several_blocks() -> None:
    orders = [(4000, 1), (4500, 2), (4090, 1)]
    result = replay(Replay(4500, 2, "block"), orders)
    assert result.latency("input", "output") == ReplaySpec(8, 4500, "block", 2).latency


def test_emitted_verilog_replays() -> None:
    replay(Replay(11, 3), random_orders(11, 3, seed=3), gaps=3, simulator="verilator")


def test_a_reset_starts_anew() -> None:
    replay(Replay(11, 3), random_orders(11, 3, seed=4), gaps=4, reset_at=50)


def test_first_reading_runs_along_with_the_writing() -> None:
    result = replay(Replay(16, 4), [(16, 4), (16, 4)])
    assert result.latency("input", "output") == ReplaySpec(8, 16, "distributed", 4).latency
    # A beat a cycle, through all readings, and from one order to the next: its words come during the last reading.
    taken = result.accepted["output"]
    assert taken[-1] - taken[0] + 1 == len(taken)


def test_words_are_let_go_one_by_one() -> None:
    result = replay(Replay(16, 3), [(16, 3), (16, 1)])
    free = result.accepted["input"][16:]
    # The second order's words follow those of the first as these are read for the last time, a word a cycle.
    assert (np.diff(free) == 1).all()
    last_reading = result.accepted["output"][32:48]
    assert (free <= last_reading).all()
    assert free[0] > result.accepted["output"][24]


def test_replay_holds_its_depth() -> None:
    assert run_streams(Replay(8, 1), {"input": np.arange(8)}, {}).cycles == 8
    with pytest.raises(Deadlock):
        run_streams(Replay(8, 1), {"input": np.arange(9)}, {}, timeout=20)
    # Words that were read for the last time, and wait in front of the output, do not count.
    waiting = ReplaySpec(8, 8, "distributed", 1).buffer_depth
    inputs = {"input": np.arange(8 + waiting), "order": {"length": [1] * waiting, "repeat": [1] * waiting}}
    run_streams(Replay(8, 1), inputs, {})
    inputs["input"] = np.arange(8 + waiting + 1)
    with pytest.raises(Deadlock):
        run_streams(Replay(8, 1), inputs, {}, timeout=20)


def test_held_words_are_let_go_later() -> None:
    """Where RAMs are read some cycles after their address is known, their words wait as long."""

    def cycle_of_release(hold: int) -> int:
        control, released = ReplayControl(4, 1, hold=hold), []

        async def testbench(ctx: Any) -> None:
            ctx.set(control.order.payload, {"length": 4, "repeat": 1})
            ctx.set(control.order.valid, 1)
            ctx.set(control.addresses.ready, 1)
            for cycle in range(20):
                ctx.set(control.written, cycle < 4)
                await ctx.tick()
                if ctx.get(control.released):
                    released.append(cycle)

        simulator = Simulator(control)
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()
        return released[0]

    assert [cycle_of_release(hold) - cycle_of_release(0) for hold in (1, 2, 5)] == [1, 2, 5]


@pytest.mark.parametrize("hold", [0, 3])
def test_orders_read_once_may_be_longer_than_the_ring(hold: int) -> None:
    """Their words come and go around the ring, in turn with orders that are read several times."""
    depth, orders = 5, [(5, 3), (23, 1), (2, 2), (6, 1), (1, 3), (40, 1)]
    control, rng, taken = ReplayControl(depth, 3, hold=hold, max_length=40), np.random.default_rng(hold), []
    words = iter(range(sum(length for length, _ in orders)))
    ring: dict[int, int] = {}

    async def testbench(ctx: Any) -> None:
        waiting = iter(orders)
        order = next(waiting, None)
        for _ in range(4000):
            ctx.set(control.order.valid, order is not None)
            if order is not None:
                ctx.set(control.order.payload, dict(zip(("length", "repeat"), order, strict=True)))
            write = ctx.get(control.room) and rng.random() < 0.6
            if write and (word := next(words, None)) is not None:
                ring[ctx.get(control.write_address)] = word
            else:
                write = False
            ctx.set(control.written, write)
            ctx.set(control.addresses.ready, int(rng.integers(2)))
            if ctx.get(control.addresses.valid) and ctx.get(control.addresses.ready):
                taken.append(ring[ctx.get(control.addresses.payload.address)])
            accepted = ctx.get(control.order.ready) and order is not None
            await ctx.tick()
            if accepted:
                order = next(waiting, None)

    simulator = Simulator(control)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    starts = np.cumsum([0] + [length for length, _ in orders])
    expected = [
        range(a, b) for (a, b), (_, repeat) in zip(pairwise(starts), orders, strict=True) for _ in range(repeat)
    ]
    assert taken == [word for reading in expected for word in reading]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (lambda: ReplaySpec(8, 0, "block", 1), "replay buffer needs at least 1 word and 1 reading, not 0 and 1"),
        (lambda: ReplaySpec(8, 4, "block", 0), "replay buffer needs at least 1 word and 1 reading, not 4 and 0"),
    ],
)
def test_impossible_specs_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        spec()
    assert str(error.value) == message


def test_resources_of_replay_buffers_are_those_of_synthesis() -> None:
    specs = [
        ReplaySpec(64, 24, "distributed", 8), ReplaySpec(64, 768, "block", 96), ReplaySpec(64, 9000, "ultra", 128)
    ]  # fmt: skip
    assert_mapped((ReplayBuffer(unsigned(spec.width), spec), spec.resources) for spec in specs)
