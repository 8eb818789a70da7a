"""Counters: their registered tests say what a comparison of the count would say."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hdl.counted import Counted, Turns


def run(m: Module, drive: Any) -> None:
    """Runs a testbench on a module."""
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.parametrize(("most", "init"), [(1, 0), (1, 1), (2, 2), (5, 0), (5, 3)])
def test_some_says_whether_the_count_is_not_zero(most: int, init: int) -> None:
    m = Module()
    counted, rng = Counted("things", most, init=init), np.random.default_rng(most)
    up = Signal()
    down = Signal()
    counted.step(m, up=up, down=down)

    async def drive(ctx: Any) -> None:
        count = init
        for _ in range(200):
            assert ctx.get(counted.count) == count
            assert ctx.get(counted.some) == (count > 0)
            goes = count > 0 and rng.random() < 0.5
            comes = (count < most or goes) and rng.random() < 0.5
            ctx.set(up, comes)
            ctx.set(down, goes)
            await ctx.tick()
            count += int(comes) - int(goes)

    run(m, drive)


@pytest.mark.parametrize("period", [1, 2, 3, 7])
def test_last_marks_the_end_of_a_period(period: int) -> None:
    m = Module()
    turns, rng = Turns("turn", period), np.random.default_rng(period)
    go = Signal()
    restart = Signal()
    turns.step(m, go)
    with m.If(restart):
        turns.restart(m)

    async def drive(ctx: Any) -> None:
        count = 0
        for _ in range(200):
            assert ctx.get(turns.count) == count
            assert ctx.get(turns.last) == (count == period - 1)
            moves, begins = rng.random() < 0.7, rng.random() < 0.1
            ctx.set(go, moves)
            ctx.set(restart, begins)
            await ctx.tick()
            count = 0 if begins else (count + moves) % period

    run(m, drive)
