"""Delays and registered trees: the value, the cycle in which it comes, and the registers it takes."""

from operator import add
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hdl.delay_registers import delay, registered_tree, tree_levels, tree_registers


def first_cycle_of(m: Module, inputs: list[Signal], result: Any, wanted: int) -> int:
    """How many clock edges after its inputs change to 1, 2, 3... ``result`` shows what is wanted."""
    found = []

    async def testbench(ctx: Any) -> None:
        for i, signal in enumerate(inputs):
            ctx.set(signal, i + 1)
        for _ in range(10):
            found.append(ctx.get(result))
            await ctx.tick()
        assert found.count(wanted) == 10 - found.index(wanted)  # and it stays

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return found.index(wanted)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("cycles", [0, 1, 4])
def test_delay(cycles: int, control: bool) -> None:
    m, value, late = Module(), Signal(4), Signal(4)
    m.d.sync += Signal().eq(0)  # a clock even where nothing is delayed
    m.d.comb += late.eq(delay(m, "value", value, cycles, control=control))
    assert first_cycle_of(m, [value], late, 1) == cycles


@pytest.mark.parametrize(
    ("count", "fan_in", "registers"), [(1, 2, 0), (2, 2, 1), (3, 2, 2 + 1), (5, 4, 2 + 1), (16, 4, 4 + 1)]
)
def test_registered_tree(count: int, fan_in: int, registers: int) -> None:
    m, values, total = Module(), [Signal(5, name=f"v{i}") for i in range(count)], Signal(10)
    m.d.sync += Signal().eq(0)
    m.d.comb += total.eq(registered_tree(m, "sum", values, add, fan_in=fan_in))
    assert first_cycle_of(m, values, total, count * (count + 1) // 2) == tree_levels(count, fan_in)
    assert tree_registers(count, fan_in) == registers
