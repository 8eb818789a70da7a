"""Row quantise: bit-exact, to the cycle, and close to the real numbers it stands for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.rowquantise import RowQuantise, RowQuantiseSpec

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats, row_beats

SPEC = RowQuantiseSpec(rows=2, lanes=1, features=30, unsigned=False)
SPECS = {
    "one lane": SPEC,
    "odd lanes, shorter than the serial work": replace(SPEC, lanes=3, features=33, unsigned=True),
    "power of two": replace(SPEC, rows=4, lanes=4, features=128),
    "one beat, unsigned": replace(SPEC, lanes=4, features=4, unsigned=True),
    "in block RAM": replace(SPEC, lanes=2, features=80, unsigned=True),
}
LIMITS = (0, 0, 0, 1, 1000, (1 << 15) - 1, 1 << 15, (1 << 16) - 1)
"""Of the tiles; 0: dynamic."""


def vectors(spec: RowQuantiseSpec, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of rows of all magnitudes, with extremes and a row of zeros, and the tiles' limits."""
    rng = np.random.default_rng(seed)
    low, high = (0, (1 << 16) - 1) if spec.unsigned else (-(1 << 15), (1 << 15) - 1)
    tokens = len(LIMITS) * spec.rows
    values = rng.integers(low, high + 1, (tokens, spec.features)) >> rng.integers(0, 16, (tokens, 1))
    for extreme in (low, high):
        some = rng.random(tokens) < 0.5
        values[some, rng.integers(spec.features, size=some.sum())] = extreme
    values[:2] = 0
    values[1, -1] = low
    return values, np.array(LIMITS)


def run(spec: RowQuantiseSpec, values: np.ndarray, limits: np.ndarray, **options: Any) -> StreamResult:
    inputs = {"values": as_beats(values, spec.rows, spec.lanes), "limit": limits}
    outputs = {"quantised": len(inputs["values"]), "factors": len(limits)}
    return run_streams(RowQuantise(spec), inputs, outputs, **options)


def check(spec: RowQuantiseSpec, seed: int, **options: Any) -> None:
    values, limits = vectors(spec, seed)
    result = run(spec, values, limits, **options)
    quantised, factors = spec.reference(values, np.repeat(limits, spec.rows))
    np.testing.assert_array_equal(result.outputs["quantised"], as_beats(quantised, spec.rows, spec.lanes))
    for field in ("mantissa", "exponent"):
        expected = row_beats(getattr(factors, field)[:, None], spec.rows)
        np.testing.assert_array_equal(result.outputs["factors"][field], expected)


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_rows_equal_the_reference(spec: RowQuantiseSpec, gaps: int | None) -> None:
    check(spec, seed=1, gaps=gaps)


@pytest.mark.parametrize("name", ["one lane", "odd lanes, shorter than the serial work", "power of two"])
def test_emitted_verilog_equals_the_reference(name: str) -> None:
    check(SPECS[name], seed=2, gaps=2, simulator="verilator")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_and_cycles_are_the_specs(spec: RowQuantiseSpec) -> None:
    result = run(spec, *vectors(spec, seed=3))
    complete = spec.beats - 1
    assert result.latency("values", "quantised", beat=complete) == spec.latency
    assert result.latency("values", "factors", beat=complete) == spec.factor_latency
    starts = result.accepted["quantised"][:: spec.beats]
    assert (np.diff(starts) == spec.cycles()).all()


@pytest.mark.parametrize("features", range(20, 30))
def test_the_memory_never_sets_the_pace(features: int) -> None:
    # Around the length at which the serial work is just hidden, where the memory is at its smallest for the work.
    spec = replace(SPEC, rows=1, features=features)
    result = run(spec, *vectors(spec, seed=4))
    assert (np.diff(result.accepted["quantised"][::features]) == spec.cycles()).all()


def test_the_limit_is_wanted_only_when_a_tile_is_complete() -> None:
    values, _ = vectors(SPEC, seed=5)
    inputs = {"values": as_beats(values, SPEC.rows, SPEC.lanes)[: 2 * SPEC.beats]}
    # Two tiles go in, though nobody has said yet how they are to be scaled.
    result = run_streams(RowQuantise(SPEC), inputs, {})
    assert len(result.accepted["values"]) == 2 * SPEC.beats


def test_a_reset_starts_anew() -> None:
    check(SPEC, seed=6, gaps=6, reset_at=150)


@pytest.mark.parametrize("unsigned", [False, True])
def test_reference_is_close_to_real_numbers(unsigned: bool) -> None:
    spec = replace(SPEC, features=64, unsigned=unsigned)
    rng = np.random.default_rng(7)
    values = np.abs(rng.normal(size=(256, 64))) if unsigned else rng.normal(size=(256, 64))
    values = np.rint(values * 2.0 ** rng.uniform(0, 12, (256, 1))).astype(np.int64)
    quantised, factors = spec.reference(values)
    step = factors.mantissa / 2.0**factors.exponent / spec.levels
    np.testing.assert_array_equal(step, np.maximum(np.abs(values).max(axis=1), 1) / spec.levels)
    # Half a step, and what the reciprocal, rounded down, takes from a value of up to `levels`: under 2^-15 of it.
    error = np.abs((quantised + spec.offset) - values / step[:, None])
    assert error.max() <= 0.5 + spec.levels / 2**15


def test_a_static_limit_clips() -> None:
    quantised, factors = SPEC.reference(np.array([[-3000, -1000, -999, 0, 4, 999, 1000, 32767]]), 1000)
    assert quantised.tolist() == [[-127, -127, -127, 0, 1, 127, 127, 127]]
    assert (factors.mantissa.tolist(), factors.exponent.tolist()) == ([1000 << 6], [6])


def test_resources_are_those_of_synthesis() -> None:
    assert_mapped((RowQuantise(spec), spec.resources) for spec in (SPEC, SPECS["in block RAM"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "row quantise rows must be at least 1, not 0"),
        ({"lanes": -1}, "row quantise lanes must be at least 1, not -1"),
        ({"features": 0}, "row quantise features must be at least 1, not 0"),
        ({"lanes": 4}, "row quantise features must be a multiple of 4 lanes, not 30"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
