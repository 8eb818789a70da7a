"""Weights of 4 bits: their layout and its inverse, and the unit that unpacks them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.packedweights import PackedWeightsSpec, UnpackWeights
from hdl.kernels.weights import WeightChannels

from ..harness import StreamResult, run_streams, ways
from ..synthesis import assert_mapped

SPEC = PackedWeightsSpec(
    channels=WeightChannels(columns=6, cascades=4, channels=1, whole_columns=True), max_words=9, max_passes=40
)
CASCADES = {
    "a header of many spans": SPEC,
    "spans that fill a header": replace(
        SPEC, channels=WeightChannels(columns=32, cascades=4, channels=1, whole_columns=True)
    ),
    "one word a span, odd": replace(
        SPEC, channels=WeightChannels(columns=3, cascades=8, channels=1, whole_columns=True)
    ),
    "eight words a span, one group": replace(
        SPEC, channels=WeightChannels(columns=5, cascades=1, channels=1, whole_columns=True)
    ),
    "groups that are not full": replace(
        SPEC, channels=WeightChannels(columns=11, cascades=2, channels=1, whole_columns=True)
    ),
}
ORDERS = [(1, 2, 9), (0, 2, 3), (1, 1, 1), (1, 40, 2), (0, 1, 1), (1, 3, 8)]
"""Whether packed, passes, words a pass: whole spans and shorter ones, several headers and one."""


def weights(spec: PackedWeightsSpec, passes: int, words: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nibbles and factors, extremes among them."""
    rng, inputs = np.random.default_rng(seed), words * 8 * spec.channels.cascades
    nibbles = rng.integers(-8, 8, (passes, spec.channels.columns, inputs)).astype(np.int8)
    factors = rng.integers(1, 16, (passes, spec.channels.columns, -(-inputs // 64))).astype(np.uint8)
    factors[0, 0, 0], nibbles[0, 0, :2] = 15, (-8, 7)
    return nibbles, factors


def int8_beats(spec: PackedWeightsSpec, nibbles: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """What must come out."""
    spread = factors.repeat(64, axis=2)[..., : nibbles.shape[2]]
    return spec.channels.pack((nibbles.astype(int) * spread).astype(np.int8))


def words_of(beats: np.ndarray) -> list[int]:
    """Bytes [n, 64] as the integers of a stream."""
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


def run(spec: PackedWeightsSpec, orders: list[tuple[int, int, int]], **options: Any) -> StreamResult:
    """Unpacks random weights, and compares them."""
    inputs, expected = [], []
    for seed, (packed, passes, words) in enumerate(orders):
        values = weights(spec, passes, words, seed)
        expected += words_of(int8_beats(spec, *values)[0])
        inputs += words_of(spec.pack(*values)[0]) if packed else expected[-passes * words * spec.channels.block_beats :]
    names = ("packed", "passes", "words")
    given = {"order": [dict(zip(names, order, strict=True)) for order in orders], "input": inputs}
    result = run_streams(UnpackWeights(spec), given, {"output": len(expected)}, **options)
    assert result.outputs["output"] == expected
    return result


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(CASCADES))
def test_int8_beats_come_out(spec: PackedWeightsSpec, simulator: str, gaps: int | None) -> None:
    run(spec, ORDERS, gaps=gaps, simulator=simulator)


def test_reset_in_the_middle() -> None:
    run(SPEC, ORDERS, gaps=2, reset_at=70)


@pytest.mark.parametrize("spec", CASCADES.values(), ids=CASCADES)
def test_cycles_and_latency_are_the_specs(spec: PackedWeightsSpec) -> None:
    passes, words = 20, 8
    result = run(spec, [(1, passes, words), (1, passes, words)], simulator="verilator")
    beats = passes * words * spec.channels.block_beats
    assert result.latency("input", "output") == 1 + spec.latency  # behind the header
    assert run(spec, [(0, 1, 1)], simulator="verilator").latency("input", "output") == spec.latency
    starts = result.accepted["output"][::beats]
    assert starts[1] - starts[0] == spec.cycles(passes, words)
    assert len(result.accepted["input"]) == 2 * spec.beats(passes, words)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("cascades", [1, 2, 4, 8])
def test_unpacking_is_the_inverse(channels: int, cascades: int) -> None:
    spec = replace(SPEC, channels=WeightChannels(columns=13, cascades=cascades, channels=channels, whole_columns=True))
    for passes, words in ((1, 1), (3, 5), (7, 9)):
        nibbles, factors = weights(spec, passes, words, seed=words)
        packed = spec.pack(nibbles, factors)
        assert packed.shape == (channels, spec.beats(passes, words), 64)
        np.testing.assert_array_equal(spec.unpack(packed, passes, words), int8_beats(spec, nibbles, factors))


@pytest.mark.parametrize(("columns", "most"), [(32, 0.508), (24, 0.509), (8, 0.508)])
def test_bytes_a_weight(columns: int, most: float) -> None:
    """Of a whole product of 768 inputs."""
    spec = replace(SPEC, channels=WeightChannels(columns=columns, cascades=4, channels=1, whole_columns=True))
    found = spec.beats(passes=96, words=24) * 64 / (96 * columns * 768)
    assert 0.5 + 0.5 / 64 <= found < most


@pytest.mark.parametrize(
    ("columns", "cascades", "message"),
    [
        (4, 3, "packed weights must be for 1, 2, 4 or 8 cascades, not 3"),
        (129, 2, "packed weights must be for at most 128 columns per channel, not 129"),
    ],
)
def test_impossible_specs_are_refused(columns: int, cascades: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, channels=WeightChannels(columns=columns, cascades=cascades, channels=1, whole_columns=True))
    assert str(error.value) == message


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has one for a single cascade.
    shape = WeightChannels(columns=32, cascades=4, channels=1, whole_columns=True)
    spec = replace(SPEC, channels=shape, max_words=96, max_passes=524)
    assert_mapped([(UnpackWeights(spec), spec.resources)])


def test_the_example_of_the_layout() -> None:
    layout = CASCADES["spans that fill a header"]._layout(passes=3, words=3)
    assert (layout.headers, layout.total) == ([0, 49], 74)
    assert layout.beat[[0, 1, 2, 95, 96, -1]].tolist() == [1, 1, 2, 48, 50, 73]
    assert layout.half[[0, 1, 2]].tolist() == [0, 1, 0]
