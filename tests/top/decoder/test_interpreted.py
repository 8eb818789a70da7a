"""The whole decoder in Amaranth's own simulator: equal to the integer reference, and to its Verilog cycle for cycle."""

from collections.abc import Sequence

import numpy as np

from hdl.model.reference import Decoder
from hdl.perf.memory_timing import MemoryTiming
from hdl.top.image import build_image
from sim.decoder import DecoderSimulation, SimulatedDecoderRun

from .designs import SMALL
from .test_decoder_pipeline import model_of, started

LATE = MemoryTiming(latency=37, activation=5, refresh=20, refresh_interval=300, outstanding=2, late=50, seed=3)
"""Memory that answers late, in bursts with pauses between."""

TEXT = ([3, 1, 4], [1])
"""A prompt that is no whole number of tiles, and a token."""


def runs(simulation: DecoderSimulation) -> list[SimulatedDecoderRun]:
    """A text in its parts, with pauses on every stream behind the prompt, after a token that a reset cut off."""
    with simulation:
        simulation.interrupt([7], 90)
        return [
            simulation.run(part, restart=number == 0, k=5, traced=True, gaps=number or None)
            for number, part in enumerate(TEXT)
        ]


def check(found: Sequence[SimulatedDecoderRun]) -> None:
    """Compares everything with the reference."""
    reference = Decoder(model_of(SMALL))
    for part, run in zip(TEXT, found, strict=True):
        step = reference.prefill(part)
        assert run.layers is not None
        for values, trace in zip(run.layers, step.layers, strict=True):
            np.testing.assert_array_equal(values, trace["residual2"])
        best = np.argsort(-step.logits[-1], kind="stable")[:5]
        np.testing.assert_array_equal(run.candidates.ids, best)
        np.testing.assert_array_equal(run.candidates.logits, step.logits[-1][best])


def test_amaranths_simulator_gives_the_reference_in_the_cycles_of_the_verilog() -> None:
    interpreted = runs(DecoderSimulation.interpreted(SMALL, build_image(model_of(SMALL), SMALL), timing=LATE))
    check(interpreted)
    for one, other in zip(interpreted, runs(started(SMALL, LATE)), strict=True):
        assert one.cycles == other.cycles
        assert one.memory == other.memory
