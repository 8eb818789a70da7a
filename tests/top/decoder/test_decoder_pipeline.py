"""The whole decoder, as emitted: every layer's output and every candidate equal to the integer reference."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from hdl.model.reference import Decoder, best_candidates
from hdl.perf.memory_timing import MemoryTiming
from hdl.top.decoder.orders import Outcome
from sim.decoder import DecoderSimulation, RefusedError

from .designs import MIXED, ODD
from .simulations import model_of, started, words


@pytest.fixture(params=[MIXED, ODD], ids=["mixed", "odd"])
def simulation(request: pytest.FixtureRequest) -> Iterator[DecoderSimulation]:
    with started(request.param) as one:
        yield one


def check(simulation: DecoderSimulation, texts: Sequence[Sequence[Sequence[int]]], *, gaps: int | None = None) -> None:
    """Runs texts one after the other, each given in parts, and compares everything with the reference."""
    spec, k = simulation.spec, 1
    for text in texts:
        reference = Decoder(model_of(spec))
        for number, part in enumerate(text):
            k = k % spec.largest + 7 if k < 57 else 1
            step = reference.prefill(part)
            run = simulation.run(part, restart=number == 0, k=k, traced=True, gaps=gaps)
            expected = best_candidates(step.logits[-1], k)
            assert run.layers is not None
            for layer, trace in enumerate(step.layers):
                np.testing.assert_array_equal(run.layers[layer], trace["residual2"], f"layer {layer}")
            np.testing.assert_array_equal(run.candidates.ids, expected.ids)
            np.testing.assert_array_equal(run.candidates.logits, expected.logits)
            assert run.position == reference.tokens


def test_texts_one_after_the_other(simulation: DecoderSimulation) -> None:
    spec = simulation.spec
    some = words(spec, spec.positions, seed=11)
    check(
        simulation,
        [
            [some[:7], *([token] for token in some[7:14])],
            [some[:1], some[1:2], some[2:3]],
            # Several tokens behind others, in the middle of a tile and at its beginning.
            [some[:5], some[5:6], some[6:11], some[11:12], some[12:17]],
            [some],
            [some[:-1], some[-1:]],
        ],
    )
    # Where the positions end in the middle of a tile, its other rows are no places for tokens.
    with pytest.raises(RefusedError) as refused:
        simulation.run([1])
    assert refused.value.outcome is Outcome.FULL


def test_gaps_on_every_stream_and_memory_that_is_late_change_nothing() -> None:
    slow = MemoryTiming(latency=37, activation=5, refresh=20, refresh_interval=300, outstanding=2, late=50, seed=3)
    with started(MIXED, slow) as simulation:
        some = words(MIXED, 12, seed=5)
        check(simulation, [[some[:6], some[6:7], some[7:8]], [some[:1], some[1:4]]], gaps=9)


@pytest.mark.parametrize(
    ("ids", "k", "outcome"),
    [
        ([], 1, Outcome.NO_TOKENS),
        ([1, MIXED.vocabulary, 2], 1, Outcome.UNKNOWN_TOKEN),
        ([1] * (MIXED.positions - 2), 1, Outcome.FULL),
        ([1], 0, Outcome.BAD_K),
        ([1], 65, Outcome.BAD_K),
    ],
)
def test_what_is_refused_leaves_the_text_as_it_was(ids: list[int], k: int, outcome: Outcome) -> None:
    with started(MIXED) as simulation:
        reference = Decoder(model_of(MIXED))
        reference.prefill([3, 1, 4])
        simulation.run([3, 1, 4], restart=True)
        with pytest.raises(RefusedError) as refused:
            simulation.run(ids, k=k)
        assert refused.value.outcome is outcome
        run = simulation.run([1], k=3)
        np.testing.assert_array_equal(run.candidates.ids, best_candidates(reference.step(1).logits[-1], 3).ids)


def test_behind_the_last_position_there_is_an_error_and_no_token() -> None:
    with started(MIXED) as simulation:
        simulation.run(words(MIXED, MIXED.positions, seed=2), restart=True)
        with pytest.raises(RefusedError) as refused:
            simulation.run([1])
        assert refused.value.outcome is Outcome.FULL


@pytest.mark.parametrize("ids", [[8], [8, 9, 1, 2, 3, 4]], ids=["token", "tokens"])
@pytest.mark.parametrize("cycles", [150, 900, 1700])
def test_a_reset_in_the_middle_of_a_run(ids: list[int], cycles: int) -> None:
    with started(MIXED) as simulation:
        simulation.run([5, 6, 7], restart=True)
        simulation.interrupt(ids, cycles)
        check(simulation, [[[5, 6], [7]]])
