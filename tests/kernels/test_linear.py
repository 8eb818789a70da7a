"""The linear unit: bit-exact over geometries, layers and gaps; latency and cycles as its spec says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.linear import Linear, LinearSpec, exact_matmul
from hdl.kernels.shared import ProductShare

from ..harness import run_streams, ways
from ..synthesis import assert_mapped
from .tensors import as_beats

SMALL = LinearSpec(
    rows=2, inputs=32, outputs=12, columns=4, cascades=1, lanes_in=1, lanes=1, channels=1, ram_depth=16, max_tiles=8
)
GEOMETRIES = {
    "one column": replace(SMALL, outputs=3, columns=1, ram_depth=12, ram_style="block"),
    "one lane": SMALL,
    "several lanes": replace(SMALL, columns=6, lanes=3, ram_depth=9),
    "several cascades": replace(SMALL, rows=4, inputs=80, cascades=2, lanes_in=2, ram_depth=20),
    "odd cascades, inputs that do not fill them": replace(
        SMALL, inputs=60, cascades=3, lanes_in=4, lanes=2, ram_depth=9
    ),
    "several channels, groups of RAMs": replace(
        SMALL, inputs=64, outputs=24, columns=12, cascades=2, channels=2, lanes=3, rows=8, ram_depth=10
    ),
}


def channel_beats(spec: LinearSpec, layers: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The memory channels' beats for the weights of several layers."""
    packed = np.concatenate([spec.pack(weights) for weights in layers], axis=1)
    return {
        f"weights__{i}": np.array([int.from_bytes(beat.tobytes(), "little") for beat in channel], dtype=object)
        for i, channel in enumerate(packed)
    }


def stimulus(spec: LinearSpec, tiles: list[int], seed: int) -> tuple[dict, np.ndarray]:
    """Inputs for layers of so many tiles each, extremes among them, and the sums as [beats, rows, lanes]."""
    rng = np.random.default_rng(seed)
    activations, sums, layers = [], [], []
    for count in tiles:
        weights = rng.integers(-127, 128, (spec.outputs, spec.inputs))
        values = rng.integers(-128, 128, (count * spec.rows, spec.inputs))
        weights[0], values[0] = rng.choice([-127, 127]), -128
        layers.append(weights.astype(np.int8))
        activations.append(as_beats(values, spec.rows, spec.lanes_in))
        sums.append(as_beats(spec.reference(values, weights), spec.rows, spec.lanes))
    inputs = {"order": tiles, "activations": np.concatenate(activations)} | channel_beats(spec, layers)
    return inputs, np.concatenate(sums)


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(GEOMETRIES))
def test_sums_equal_the_reference(spec: LinearSpec, simulator: Any, gaps: int | None) -> None:
    inputs, sums = stimulus(spec, [2, 1, 3], seed=1)
    result = run_streams(Linear(spec), inputs, {"sums": len(sums)}, gaps=gaps, simulator=simulator)
    np.testing.assert_array_equal(result.outputs["sums"], sums)


@pytest.mark.parametrize("spec", GEOMETRIES.values(), ids=GEOMETRIES)
def test_latency_and_cycles_are_the_specs(spec: LinearSpec) -> None:
    # One tile whose weights are there first (the activations wait for them), then many tiles at full speed.
    tiles = 6
    inputs, sums = stimulus(spec, [tiles], seed=3)
    result = run_streams(Linear(spec), inputs, {"sums": len(sums)}, simulator="verilator")
    accepted = result.accepted["sums"]
    beats = spec.outputs // spec.lanes
    starts = accepted[::beats]
    arrive = spec.inputs // spec.lanes_in
    pace = max(spec.cycles(1), arrive)
    assert set(np.diff(starts[2:])) == {pace}


def test_latency() -> None:
    inputs, sums = stimulus(SMALL, [1], seed=4)
    result = run_streams(Linear(SMALL), inputs, {"sums": len(sums)})
    last_beat = result.accepted["activations"][-1]
    assert result.accepted["weights__0"][-1] < last_beat
    assert result.accepted["sums"][0] - last_beat == SMALL.latency


def test_latency_where_weights_come_last() -> None:
    spec = replace(SMALL, inputs=128, outputs=24, columns=12, cascades=4, lanes_in=8)
    inputs, sums = stimulus(spec, [1], seed=6)
    result = run_streams(Linear(spec), inputs, {"sums": len(sums)})
    complete = result.accepted["weights__0"][spec.loader.beats(spec.words) - 1]
    assert result.accepted["activations"][-1] + spec.activation_latency < complete
    assert result.accepted["sums"][0] - complete == spec.weight_latency + spec.array.latency


def test_reset_in_the_middle() -> None:
    inputs, sums = stimulus(SMALL, [2, 1], seed=5)
    result = run_streams(Linear(SMALL), inputs, {"sums": len(sums)}, reset_at=90)
    np.testing.assert_array_equal(result.outputs["sums"], sums)


SHARING = replace(
    SMALL, lanes_in=4, ram_depth=13, products=(ProductShare(inputs=24, outputs=50, first=3, stride=8),)
)  # fmt: skip
"""Another product, of which it has features 3 to 6 of every eight."""

BLOCKS = replace(
    SMALL, inputs=64, outputs=52, columns=26, lanes=2, channels=2, lanes_in=4, ram_depth=19,
    products=(ProductShare(inputs=128, outputs=110, first=0, stride=34),), block=8,
)  # fmt: skip
"""Channels of 13 RAMs, which get eight words each in 13 beats."""


def share_of(spec: LinearSpec, product: int, weights: np.ndarray) -> np.ndarray:
    """The rows of a whole product's weights that an array works on, those that there are not as zeros."""
    share = spec.shares[product]
    features = [
        j + c for j in range(share.first, share.rounds * share.stride, share.stride) for c in range(spec.columns)
    ]
    return np.vstack([weights, np.zeros((share.stride + spec.columns, share.inputs), dtype=np.int8)])[features]


@pytest.mark.parametrize("gaps", [None, 3])
@pytest.mark.parametrize("spec", [SHARING, BLOCKS], ids=["words", "blocks"])
def test_a_share_of_a_product_in_turn_with_its_own(spec: LinearSpec, gaps: int | None) -> None:
    rng, orders = np.random.default_rng(7), [(0, 2), (1, 1), (1, 1), (1, 1), (0, 1), (1, 1)]
    activations, sums, packed = [], [], []
    for product, tiles in orders:
        share = spec.shares[product]
        weights = rng.integers(-127, 128, (share.outputs, share.inputs)).astype(np.int8)
        values = rng.integers(-128, 128, (tiles * spec.rows, share.inputs))
        activations.append(as_beats(values, spec.rows, spec.lanes_in))
        sums.append(as_beats(exact_matmul(values, share_of(spec, product, weights).T), spec.rows, spec.lanes))
        packed.append(spec.pack(weights, product))
        assert packed[-1].shape[1] == spec.product_beats(product)
    inputs = {
        "order": [{"product": product, "tiles": tiles} for product, tiles in orders],
        "activations": np.concatenate(activations),
    }
    for i, channel in enumerate(np.concatenate(packed, axis=1)):
        inputs[f"weights__{i}"] = [int.from_bytes(beat.tobytes(), "little") for beat in channel]
    result = run_streams(Linear(spec), inputs, {"sums": sum(map(len, sums))}, gaps=gaps, simulator="verilator")
    np.testing.assert_array_equal(result.outputs["sums"], np.concatenate(sums))
    if gaps is None and spec == SHARING:
        ends = np.cumsum([len(each) for each in sums])
        # From the second shared product, whose row came before, to the third.
        assert np.diff(result.accepted["sums"][ends[1:3]]) == spec.cycles(1, product=1)


def test_blocks_of_words_waste_no_beat() -> None:
    assert [BLOCKS.product_beats(product) for product in (0, 1)] == [2 * 8 * 13 // 8, 4 * 16 * 13 // 8]


PACKED = replace(SMALL, inputs=80, cascades=2, channels=2, ram_depth=30, lanes_in=4, weight_bits=4)


@pytest.mark.parametrize("gaps", [None, 3])
def test_weights_of_4_bits(gaps: int | None) -> None:
    rng, tiles = np.random.default_rng(8), [1, 2]
    activations, sums, packed = [], [], []
    for count in tiles:
        nibbles = rng.integers(-8, 8, (PACKED.outputs, PACKED.inputs)).astype(np.int8)
        factors = rng.integers(1, 16, (PACKED.outputs, 2)).astype(np.uint8)
        weights = nibbles * factors.astype(int).repeat(64, axis=1)[:, : PACKED.inputs]
        values = rng.integers(-128, 128, (count * PACKED.rows, PACKED.inputs))
        activations.append(as_beats(values, PACKED.rows, PACKED.lanes_in))
        sums.append(as_beats(PACKED.reference(values, weights), PACKED.rows, PACKED.lanes))
        packed.append(PACKED.pack(nibbles, factors=factors))
    inputs = {"order": [{"product": 0, "tiles": count} for count in tiles], "activations": np.concatenate(activations)}
    for i, channel in enumerate(np.concatenate(packed, axis=1)):
        inputs[f"weights__{i}"] = [int.from_bytes(beat.tobytes(), "little") for beat in channel]
    result = run_streams(Linear(PACKED), inputs, {"sums": sum(map(len, sums))}, gaps=gaps)
    np.testing.assert_array_equal(result.outputs["sums"], np.concatenate(sums))
    if gaps is None:
        # The RAMs hold both layers.
        starts = result.accepted["weights__0"][:: PACKED.product_beats(0)]
        assert np.diff(starts) == PACKED.load_cycles(0)


@pytest.mark.parametrize(
    ("spec", "product", "shapes", "message"),
    [
        (SHARING, 1, [(50, 32)], "linear weights must be (50, 24), not (50, 32)"),
        (SHARING, 1, [(50, 24), (50, 1)], "linear factors must be None, not (50, 1)"),
        (PACKED, 0, [(12, 80)], "linear factors must be (12, 2), not None"),
        (PACKED, 0, [(12, 80), (12, 1)], "linear factors must be (12, 2), not (12, 1)"),
    ],
)
def test_weights_of_another_shape_are_refused(
    spec: LinearSpec, product: int, shapes: list[tuple[int, int]], message: str
) -> None:
    weights, *factors = (np.ones(shape, dtype=np.int8) for shape in shapes)
    with pytest.raises(ValueError) as error:
        spec.pack(weights, product, *factors)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": 5}, "linear columns must divide its 12 outputs, not 5"),
        ({"lanes_in": 3}, "linear input lanes must divide its 32 inputs and depth 8, not 3"),
        ({"ram_depth": 11}, "linear RAM must hold the 12 words of a layer, not 11; add columns or cascades"),
        ({"channels": 5}, "linear channels must be 1 to 4, one for each column at most, not 5"),
        ({"rows": 3}, "array rows must be 2, 4 or 8, not 3"),
        ({"cascades": 9}, "array must have a column and 1 to 8 cascades, not 4 and 9"),
        ({"lanes": 3}, "array lanes must divide its 4 columns, not 3"),
        ({"weight_bits": 6}, "weights must have 4 or 8 bits, not 6"),
        ({"block": 2}, "linear blocks of 2 words need 8 RAMs per channel, not 4"),
        (
            {"weight_bits": 4, "inputs": 36},
            "linear inputs must be a multiple of the depth 8 of an array whose orders name products, not 36",
        ),
        ({"weight_bits": 4, "cascades": 3, "inputs": 48}, "packed weights must be for 1, 2, 4 or 8 cascades, not 3"),
        ({"inputs": 8192, "ram_depth": 4096}, "array contraction must have at most 4096 terms, not 8192"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SMALL, **changes)
    assert str(error.value) == message


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has larger units of 4 and 8 bits, and one that shares products and has blocks of words.
    spec = replace(SMALL, inputs=256, outputs=96, columns=2, ram_depth=4096, max_tiles=128, weight_bits=4)
    assert_mapped([(Linear(spec), spec.resources)])
