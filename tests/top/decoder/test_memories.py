"""A decoder whose keys and values lie in off-chip memory: every layer's output equal to the reference's, whatever was
stored before and however late memory is."""

from collections.abc import Iterator
from math import ceil

import numpy as np
import pytest

from hdl.model.reference import Decoder, best_candidates
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import MemoryTiming
from hdl.top.decoder.orders import Outcome
from sim.decoder import DecoderSimulation, RefusedError

from .designs import FAR
from .simulations import model_of, started, words
from .test_decoder_pipeline import check


@pytest.fixture
def simulation() -> Iterator[DecoderSimulation]:
    with started(FAR) as one:
        yield one


def test_texts_one_after_the_other(simulation: DecoderSimulation) -> None:
    some = words(FAR, FAR.max_length, seed=11)
    check(
        simulation,
        [
            [some[:7], *([token] for token in some[7:20])],
            [some[:1], some[1:2], some[2:3]],
            # Prompts that go on in the middle of a tile, at its beginning, at a block's, and one that is longer still.
            [some[:5], some[5:6], some[6:11], some[11:12], some[12:15], some[15:16], some[16:40]],
            [some[:19], *([token] for token in some[19:23]), some[23:]],
            [some],
        ],
    )


def test_generation_goes_on_to_the_last_position_and_no_further(simulation: DecoderSimulation) -> None:
    some = words(FAR, FAR.max_length, seed=5)
    reference = Decoder(model_of(FAR))
    check(simulation, [[some[:-9], *([token] for token in some[-9:-1])]])
    with pytest.raises(RefusedError) as refused:
        simulation.run([1, 2])
    assert refused.value.outcome is Outcome.FULL
    # What was refused has not touched memory: the last token is right.
    reference.prefill(some[:-1])
    run = simulation.run(some[-1:], k=3)
    np.testing.assert_array_equal(run.candidates.ids, best_candidates(reference.step(some[-1]).logits[-1], 3).ids)
    with pytest.raises(RefusedError):
        simulation.run([1])


def test_memory_that_is_late_and_gaps_change_nothing() -> None:
    slow = MemoryTiming(latency=37, activation=5, refresh=20, refresh_interval=300, outstanding=2, late=50, seed=3)
    with started(FAR, slow) as simulation:
        some = words(FAR, 24, seed=6)
        check(simulation, [[some[:6], some[6:7], some[7:8]], [some[:1], some[1:14], some[14:15]]], gaps=9)


def test_a_run_waits_until_memory_has_what_was_stored_before() -> None:
    with started(FAR) as simulation:
        simulation.run([1, 2, 3], restart=True)
        usual = simulation.run([4]).cycles
    # Answers to writes come in order, so about as late as they can; what is read often comes much earlier.
    late = MemoryTiming(late=4 * usual, seed=1, outstanding=64)
    with started(FAR, cache_timing=late) as simulation:
        some = words(FAR, 12, seed=7)
        check(simulation, [[some[:3], some[3:4], some[4:11]], [some[:2], some[2:3]]])


@pytest.mark.parametrize("cycles", [300, 1500, 2600])
def test_a_reset_in_the_middle_of_a_token(simulation: DecoderSimulation, cycles: int) -> None:
    simulation.run([5, 6, 7], restart=True)
    simulation.interrupt([8], cycles)
    check(simulation, [[[5, 6], [7], [1, 2, 3]]])


def test_bytes_are_those_of_the_tokens(simulation: DecoderSimulation) -> None:
    spec = simulation.spec
    position, ahead = 0, dict.fromkeys(spec.memories, 0)
    for count in (11, 1, 1, 4):
        run = simulation.run(words(spec, count, seed=count), restart=position == 0)
        # Rows behind the last token are written too, up to the end of its tile, and again when their tokens come.
        stored = ceil((position + count) / spec.rows) * spec.rows - position
        for name, memory in spec.memories.items():
            used = [run.memory[f"{name}__{index}"] for index in range(memory.channels)]
            # Of this run's layers some were read before it, and some of the next run's in it: all that have banks.
            wanted = spec.max_layers * memory.bytes_read(position)
            ahead[name] += sum(use.read for use in used) - wanted
            assert 0 <= ahead[name] <= spec.cache_banks * memory.bytes_read(position + count)
            assert sum(use.written for use in used) == spec.max_layers * spec.hidden * stored
        position += count
    assert all(ahead.values())


def test_a_decoder_without_a_channel_for_its_keys_is_refused() -> None:
    with pytest.raises(ValueError) as error:
        DecoderSpec(**{name: getattr(FAR, name) for name in FAR.__dataclass_fields__} | {"cache_channels": 0})
    assert str(error.value) == "decoder must have at least 1 channel for its keys, not 0"
