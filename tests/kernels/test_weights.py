"""The way of weights: every word reaches its place and address whatever a channel's share and its blocks, in time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hdl.kernels.weights import LoadChannel, WeightChannels, block_words

SPECS = {
    "a word a beat": WeightChannels(columns=8, cascades=1, channels=1),
    "fewer RAMs than a beat's words": WeightChannels(columns=5, cascades=1, channels=1),
    "two words in three beats": WeightChannels(columns=3, cascades=4, channels=1, block=2),
    "three words in five beats": WeightChannels(columns=13, cascades=1, channels=1, block=3),
    "eight words in 13 beats": WeightChannels(columns=32, cascades=4, channels=10, block=8),
    "room left in a block": WeightChannels(columns=11, cascades=1, channels=1, block=2),
    "whole columns": WeightChannels(columns=32, cascades=4, channels=8, whole_columns=True),
}


def weights(spec: WeightChannels, passes: int, words: int) -> np.ndarray:
    """Random weights [passes, columns, inputs]."""
    return np.random.default_rng(1).integers(
        -127, 128, (passes, spec.columns, words * 8 * spec.cascades), dtype=np.int8
    )


def contents(spec: WeightChannels, cut: np.ndarray) -> np.ndarray:
    """What the RAMs must hold, int8 [columns, cascades, words of all passes, 8]: word by word, as the arrays read."""
    passes, columns, inputs = cut.shape
    words = inputs // (8 * spec.cascades)
    found = np.zeros((columns, spec.cascades, passes * words, 8), dtype=np.int8)
    for index in np.ndindex(passes, columns, words, spec.cascades):
        turn, column, word, cascade = index
        first = (word * spec.cascades + cascade) * 8
        found[column, cascade, turn * words + word] = cut[turn, column, first : first + 8]
    return found


def load(spec: WeightChannels, beats: np.ndarray, rams: int, depth: int, words: int) -> tuple[np.ndarray, int]:
    """The words of a channel's RAMs, uint64 [rams, words], as they are written to rings of ``depth``, of which one is
    let go whenever there are some; and the cycles from the first beat's acceptance to the last's."""
    m = Module()
    m.submodules.dut = dut = LoadChannel(spec, rams, depth)
    filled = Signal(range(depth + 1))
    m.d.comb += dut.released.eq(filled != 0)
    m.d.sync += filled.eq(filled + dut.written - dut.released)
    found: list[list[int]] = [[] for _ in range(rams)]
    accepted: list[int] = []

    async def drive(ctx: Any) -> None:
        sent = 0
        for cycle in range(4 * len(beats) + 20):
            ctx.set(dut.channel.valid, sent < len(beats))
            if sent < len(beats):
                ctx.set(dut.channel.payload, int.from_bytes(beats[sent].tobytes(), "little"))
            ready, enable = ctx.get(dut.channel.ready), ctx.get(dut.enable)
            for ram in range(rams):
                if enable >> ram & 1:
                    assert ctx.get(dut.address[ram]) == len(found[ram]) % depth
                    found[ram].append(ctx.get(dut.data[ram]))
            if ready and sent < len(beats):
                sent += 1
                accepted.append(cycle)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert all(len(words_of) == words for words_of in found)
    return np.array(found, dtype=np.uint64), accepted[-1] - accepted[0] + 1


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_each_word_reaches_its_ram_at_full_speed(spec: WeightChannels) -> None:
    cut = weights(spec, passes=4, words=6)
    packed, expected = spec.pack(cut), contents(spec, cut)
    assert packed.shape == (spec.channels, spec.beats(24), 64)
    for channel, beats in enumerate(packed):
        places = spec.places(channel)
        found, cycles = load(spec, beats, len(places), depth=5, words=24)
        for (column, cascade), words in zip(places, found, strict=True):
            np.testing.assert_array_equal(words.view(np.int8).reshape(-1, 8), expected[column, cascade])
        assert cycles == spec.beats(24)


def test_a_beat_for_two_words_waits_for_room_for_both() -> None:
    spec = SPECS["two words in three beats"]
    cut = weights(spec, passes=2, words=1)
    (beats,) = spec.pack(cut)
    for depth in (1, 2):
        dut = LoadChannel(spec, 12, depth)
        taken = []

        async def drive(ctx: Any, dut: LoadChannel = dut, taken: list[bool] = taken) -> None:
            ctx.set(dut.channel.valid, 1)
            for _ in range(4):
                taken.append(bool(ctx.get(dut.channel.ready)))
                await ctx.tick()

        simulator = Simulator(dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(drive)
        simulator.run()
        assert taken == [True, depth == 2, depth == 2, False]
    assert len(beats) == 3


@pytest.mark.parametrize(
    ("rams", "divisor", "words"),
    [(8, 24, 1), (12, 24, 2), (13, 24, 8), (13, 6, 3), (13, 7, 7), (13, 11, 1), (16, 24, 1), (6, 24, 1)],
)
def test_blocks_waste_the_least(rams: int, divisor: int, words: int) -> None:
    assert block_words(rams, divisor) == words


def test_refusals() -> None:
    spec = SPECS["two words in three beats"]
    with pytest.raises(ValueError, match="linear weights must fill blocks of 2 words, not be 3 words"):
        spec.beats(3)
    with pytest.raises(ValueError, match="linear blocks of 2 words need 8 RAMs per channel, not 6"):
        replace(spec, channels=2)
    with pytest.raises(ValueError, match="linear channels must be 1 to 3, one for each column at most, not 4"):
        replace(spec, channels=4)


def test_the_example_of_the_module() -> None:
    spec = SPECS["three words in five beats"]
    found = [(beat, *one) for beat, one in enumerate(spec.deliveries(4)) if one.present]
    assert found == [(0, True, False, 4), (2, True, False, 1), (3, True, True, 6)]
