"""The pipeline that ends every scaling: new operands every cycle, each result exact and at its cycle."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.kernels.finish import Finish
from hdl.kernels.parameters import finish


def simulate(design: Finish, operands: np.ndarray) -> list[int]:
    """Results of operands [n, 3] in consecutive cycles, each shift a cycle before; taken `Finish.latency` later."""
    results = []

    async def testbench(ctx: Any) -> None:
        ctx.set(design.shift, int(operands[0, 1]))
        await ctx.tick()
        for cycle in range(len(operands) + Finish.latency):
            if cycle < len(operands):
                ctx.set(design.value, int(operands[cycle, 0]))
                ctx.set(design.bias, int(operands[cycle, 2]))
            if cycle + 1 < len(operands):
                ctx.set(design.shift, int(operands[cycle + 1, 1]))
            if cycle >= Finish.latency:
                results.append(ctx.get(design.result))
            await ctx.tick()

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


@pytest.mark.parametrize(("width", "bits", "symmetric"), [(44, 16, False), (42, 8, True), (30, 16, False)])
def test_results_equal_the_reference(width: int, bits: int, symmetric: bool) -> None:
    rng = np.random.default_rng(width)
    top, count = 1 << (width - 1), 400
    value = rng.integers(-top, top, count) >> rng.integers(0, width, count)
    shift = rng.integers(0, 64, count)
    bias = rng.integers(-(1 << 19), 1 << 19, count) >> rng.integers(0, 20, count)
    # The extremes of all three, and the ends of the output's range.
    value[:6], shift[:6] = (-top, top - 1, -top, top - 1, -top, -1), (0, 0, 63, 63, width - 1, 63)
    bias[:4] = -(1 << 19), (1 << 19) - 1, (1 << 19) - 1, -(1 << 19)
    value[6:40], shift[6:40], bias[6:40] = (1 << bits + 3) - 17 + np.arange(34), 0, 0
    value[40:74], shift[40:74], bias[40:74] = -(1 << bits + 3) - 17 + np.arange(34), 0, 0
    found = simulate(Finish(width, bits, symmetric=symmetric), np.stack([value, shift, bias], axis=1))
    assert found == finish(value, shift, bias, bits, symmetric=symmetric).tolist()
