"""A decoder's cycles: those of the simulated Verilog, prompts and tokens, with memory at once and with a device's."""

import pytest

from hdl.perf.device import load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles

from ...top.decoder.designs import FAR, MIXED, MOVED, ODD
from ...top.decoder.simulations import started, words

U280 = MemoryTiming.of(load_device("u280").memory, 300)

BETTER = 3
"""Logits late in the vocabulary that are better than all before, which take a cycle more each: up to their values."""

EVENLY = 8
"""Rows of the embedding are taken to come evenly among the parameters of their port."""

REFRESH = 0.02
"""What a token that waits for its weights may be off, for refreshes that a run begins in the middle of."""

LONGEST = 44
"""Tokens of the longest prompt that is simulated."""

RUNS = ((1, True), (5, True), (1, False), (3, False), (1, False), (1, False))
"""Tokens, and whether they begin a text."""


@pytest.mark.parametrize("timing", [IDEAL, U280], ids=["ideal", "u280"])
@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [(MIXED, 0), (ODD, 0), (MOVED, REFRESH), (FAR, 0)],
    ids=["mixed", "odd", "moved", "far"],
)
def test_cycles_are_what_is_simulated(spec: DecoderSpec, tolerance: float, timing: MemoryTiming) -> None:
    with started(spec, timing) as simulation:
        for k, (count, restart) in enumerate([*RUNS, (min(spec.positions, LONGEST), True)], start=1):
            run = simulation.run(words(spec, count, k), restart=restart, k=k)
            found = counted_decoder_cycles(spec, count, run.position - count, timing, k)
            # A port's first refresh may come before a prompt's rows or behind them, and its parameters' too.
            most = BETTER + EVENLY + 2 * timing.refresh + tolerance * found
            assert abs(run.cycles - found) <= most, (count, run.position)
