"""The activation table: bit-exact over geometries, layers and gaps; to the cycle; close to a real GELU."""

from dataclasses import replace
from math import erf
from typing import Any

import numpy as np
import pytest

from hdl.kernels.activation import ENTRIES_PER_WORD, Activation, ActivationSpec
from hdl.stream import BUFFER_DEPTH

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats

SPEC = ActivationSpec(rows=2, lanes=1, features=12, max_tiles=8, entries=8)
SPECS = {
    "one lane": SPEC,
    "odd lanes": replace(SPEC, lanes=3, entries=32, input_bits=10),
    "power of two, smallest table": replace(SPEC, rows=4, lanes=4, entries=2, input_bits=4),
}
TILES = [3, 1, 4]


def layer(spec: ActivationSpec, tiles: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A table [entries, 2] and values [tokens, features], both with the extremes of their ranges."""
    table = np.stack([rng.integers(0, 1 << 16, spec.entries), rng.integers(-(1 << 15), 1 << 15, spec.entries)], axis=1)
    table[0], table[-1] = (0, -(1 << 15)), ((1 << 16) - 1, (1 << 15) - 1)
    half = 1 << (spec.input_bits - 1)
    values = rng.integers(-half, half, (tiles * spec.rows, spec.features))
    extreme = rng.random(values.shape) < 0.2
    values[extreme] = rng.choice([-half, half - 1, 0, -1], extreme.sum())
    return table, values


def run(spec: ActivationSpec, tiles: list[int], seed: int, **options: Any) -> StreamResult:
    """Runs the hardware over layers of so many tiles, and holds it to the reference."""
    rng = np.random.default_rng(seed)
    layers = [layer(spec, count, rng) for count in tiles]
    inputs = {
        "order": {"tiles": np.array(tiles)},
        "table": np.concatenate([spec.pack(table) for table, _ in layers]),
        "values": np.concatenate([as_beats(values, spec.rows, spec.lanes) for _, values in layers]),
    }
    expected = [as_beats(spec.reference(values, table), spec.rows, spec.lanes) for table, values in layers]
    result = run_streams(Activation(spec), inputs, {"activated": len(inputs["values"])}, **options)
    np.testing.assert_array_equal(result.outputs["activated"], np.concatenate(expected))
    return result


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_values_equal_the_reference(spec: ActivationSpec, gaps: int | None) -> None:
    run(spec, TILES, seed=1, gaps=gaps)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_emitted_verilog_equals_the_reference(spec: ActivationSpec) -> None:
    run(spec, TILES, seed=2, gaps=2, simulator="verilator")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latencies_are_the_specs(spec: ActivationSpec) -> None:
    result = run(spec, [1], seed=3)
    assert result.accepted["activated"][0] == spec.load_cycles + spec.latency


def test_layers_follow_without_a_pause() -> None:
    spec = replace(SPEC, features=24)
    tiles = [2, 1, 4, 1]
    result = run(spec, tiles, seed=4)
    assert result.cycles == spec.load_cycles + spec.cycles(sum(tiles)) + spec.latency
    # The third table waits for a bank: it goes on as soon as the first layer has left, with its words in the buffer.
    third = result.accepted["table"][2 * spec.words + BUFFER_DEPTH]
    assert third == spec.load_cycles + spec.cycles(tiles[0]) + 1 + ENTRIES_PER_WORD


def test_reset_in_the_middle() -> None:
    run(SPECS["odd lanes"], TILES, seed=5, reset_at=47)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "activation rows must be at least 1, not 0"),
        ({"lanes": 0}, "activation lanes must be at least 1, not 0"),
        ({"max_tiles": 0}, "activation max_tiles must be at least 1, not 0"),
        ({"lanes": 5}, "activation features must be a multiple of its 5 lanes, not 12"),
        ({"input_bits": 17}, "activation input_bits must be 3 to 16, not 17"),
        ({"entries": 1000}, "activation entries must be a power of two, 2 to 32768, not 1000"),
        ({"entries": 16, "input_bits": 4}, "activation entries must be a power of two, 2 to 8, not 16"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((4, 2)), "activation table must be of shape (8, 2), not (4, 2)"),
        (np.full((8, 2), -1), "activation table base must be 0..65535, not -1"),
        (np.full((8, 2), 40_000), "activation table delta must be -32768..32767, not 40000"),
    ],
)
def test_impossible_tables_are_refused(table: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError) as error:
        SPEC.pack(table)
    assert str(error.value) == message


def test_reference_is_near_a_real_gelu() -> None:
    spec = replace(SPEC, entries=1024)
    input_place, output_place, lowest = 8 / (1 << 15), 1 / 7000, -0.17

    def gelu(x: np.ndarray) -> np.ndarray:
        """In places of the output, from the lowest value up."""
        real = np.array([v * 0.5 * (1 + erf(v / 2**0.5)) for v in x])
        return (real - lowest) / output_place

    edges = np.rint(gelu((np.arange(1025) * 64 - (1 << 15)) * input_place)).astype(np.int64)
    values = np.random.default_rng(6).integers(-(1 << 15), 1 << 15, 5000)
    activated = spec.reference(values, np.stack([edges[:-1], np.diff(edges)], axis=1))
    # Half a place each from the entries, which are integers, and from the interpolation; a chord is at most
    # (1/64)**2 / 8 * max|gelu''| = 0.00003 = 0.2 places away from the curve.
    assert np.abs(activated - gelu(values * input_place)).max() <= 0.5 + 0.5 + 0.2


def test_resources_are_those_of_synthesis() -> None:
    spec = replace(SPEC, rows=4, lanes=2, features=3072, max_tiles=128, entries=1024)
    assert_mapped([(Activation(spec), spec.resources)])
