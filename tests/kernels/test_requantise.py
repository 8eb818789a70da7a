"""Requantise: bit-exact, to the cycle, and close to the real numbers it stands for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.parameters import ChannelParameters, RowFactors
from hdl.kernels.requantise import Requantise, RequantiseSpec
from sim.streams import Deadlock

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats, row_beats

SPEC = RequantiseSpec(
    rows=2, lanes=1, channels=6, group=6, sum_bits=27, output_bits=16, symmetric=False, zero_point=True
)
SPECS = {
    "one lane": SPEC,
    "odd lanes, groups": replace(SPEC, lanes=3, channels=24, group=6, output_bits=8, symmetric=True),
    "power of two, a group a beat": replace(SPEC, rows=4, lanes=4, channels=16, group=4, sum_bits=20, zero_point=False),
}
TILES = 3


def vectors(spec: RequantiseSpec, seed: int) -> tuple[np.ndarray, ChannelParameters, RowFactors]:
    """Sums of `TILES` tiles, parameters that bring most of them into the output's range, and extremes of everything."""
    rng = np.random.default_rng(seed)
    tokens, groups = TILES * spec.rows, spec.channels // spec.group
    top = 1 << (spec.sum_bits - 1)
    shape = tokens, spec.channels
    sums = rng.integers(-top, top, shape) >> rng.integers(0, spec.sum_bits - 1, shape)
    sums[rng.random(sums.shape) < 0.1] = -top
    sums[rng.random(sums.shape) < 0.1] = top - 1
    factor = rng.integers(1 << 15, 1 << 16, spec.channels)
    shift = rng.integers(spec.sum_bits, 40, spec.channels)
    bias = rng.integers(-(1 << 19), 1 << 19, spec.channels) >> rng.integers(0, 19, spec.channels)
    column_sum = rng.integers(-(1 << 19), 1 << 19, spec.channels)
    for field, extremes in ((factor, (0, (1 << 16) - 1)), (shift, (0, 63)), (bias, (-(1 << 19), (1 << 19) - 1))):
        for extreme in extremes:
            field[rng.integers(spec.channels)] = extreme
    column_sum[:2] = -(1 << 19), (1 << 19) - 1
    mantissa, exponent = rng.integers(1, 1 << 17, (tokens, groups)), rng.integers(0, 4, (tokens, groups))
    mantissa[0, 0], mantissa[-1, -1], exponent[0, -1], exponent[-1, 0] = 0, (1 << 17) - 1, 31, 31
    channels = ChannelParameters(factor=factor, shift=shift, bias=bias, column_sum=column_sum)
    return sums, channels, RowFactors(mantissa=mantissa, exponent=exponent)


def run(
    spec: RequantiseSpec,
    sums: np.ndarray,
    channels: ChannelParameters,
    factors: RowFactors,
    *,
    wanted: int | None = None,
    **options: Any,
) -> StreamResult:
    """The hardware's run over tiles that all use the same channel parameters; as many beats as ``wanted``, or all."""
    again = len(sums) // spec.rows, 1
    inputs = {
        "sums": as_beats(sums, spec.rows, spec.lanes),
        "channels": {name: np.tile(field.reshape(-1, spec.lanes), again) for name, field in vars(channels).items()},
        "factors": {name: row_beats(field, spec.rows) for name, field in vars(factors).items()},
    }
    beats = len(inputs["sums"]) if wanted is None else wanted
    return run_streams(Requantise(spec), inputs, {"values": beats}, **options)


def check(spec: RequantiseSpec, seed: int, **options: Any) -> None:
    sums, channels, factors = vectors(spec, seed)
    result = run(spec, sums, channels, factors, **options)
    expected = as_beats(spec.reference(sums, channels, factors), spec.rows, spec.lanes)
    np.testing.assert_array_equal(result.outputs["values"], expected)


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_values_equal_the_reference(spec: RequantiseSpec, gaps: int | None) -> None:
    check(spec, seed=1, gaps=gaps)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_emitted_verilog_equals_the_reference(spec: RequantiseSpec) -> None:
    check(spec, seed=2, gaps=2, simulator="verilator")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_and_cycles_are_the_specs(spec: RequantiseSpec) -> None:
    result = run(spec, *vectors(spec, seed=3))
    assert result.latency("sums", "values") == spec.latency
    # A beat a cycle from the first to the last: no bubble between groups or tiles.
    beats = result.accepted["values"]
    assert beats[-1] - beats[0] + 1 == TILES * spec.cycles()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_specs_depth_is_taken_while_nothing_leaves(spec: RequantiseSpec) -> None:
    sums, channels, factors = vectors(spec, seed=6)
    sums = np.concatenate([sums] * 8)
    factors = RowFactors(mantissa=np.tile(factors.mantissa, (8, 1)), exponent=np.tile(factors.exponent, (8, 1)))
    with pytest.raises(Deadlock) as stop:
        run(spec, sums, channels, factors, wanted=0, timeout=100)
    total = sums.size // spec.rows // spec.lanes
    assert f"input sums has {total - spec.depth} of {total} beats left" in str(stop.value)


def test_a_reset_starts_anew() -> None:
    spec = SPECS["odd lanes, groups"]
    check(spec, seed=4, gaps=4, reset_at=40)


def test_reference_is_close_to_real_numbers() -> None:
    spec = replace(SPEC, rows=4, channels=512, group=128)
    rng = np.random.default_rng(5)
    sums = rng.integers(-(1 << 25), 1 << 25, (64, 512))
    channels = ChannelParameters(
        factor=rng.integers(1 << 15, 1 << 16, 512),
        shift=rng.integers(24, 28, 512),
        bias=rng.integers(-(1 << 15), 1 << 15, 512),
        column_sum=rng.integers(-(1 << 17), 1 << 17, 512),
    )
    factors = RowFactors(mantissa=rng.integers(1 << 15, 1 << 17, (64, 4)), exponent=rng.integers(0, 12, (64, 4)))
    row = np.repeat(factors.mantissa / 2.0**factors.exponent, 128, axis=1)
    scale = row / 2.0**channels.shift
    whole = sums + 128 * channels.column_sum
    exact = np.clip((whole * channels.factor / 2.0**16 * scale + channels.bias) / 16, -(1 << 15), (1 << 15) - 1)
    # Half a place of the output, half of its sixteenth, and half a place of mid as it arrives in the output.
    bound = 0.5 + 0.5 / 16 + 0.5 * scale / 16
    values = spec.reference(sums, channels, factors)
    assert (np.abs(values - exact) <= bound + 1e-6).all()
    assert np.mean(np.abs(exact) < 1 << 14) > 0.2  # most of it is not a matter of saturation alone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "requantise rows must be at least 1, not 0"),
        ({"lanes": 0}, "requantise lanes must be at least 1, not 0"),
        ({"channels": -6}, "requantise channels must be at least 1, not -6"),
        ({"group": 0}, "requantise group must be at least 1, not 0"),
        ({"lanes": 4}, "requantise group must be a multiple of 4 lanes, not 6"),
        ({"channels": 8}, "requantise channels must be whole groups of 6, not 8"),
        ({"sum_bits": 28}, "requantise sums must have 2 to 27 bits, not 28"),
        ({"output_bits": 1}, "requantise outputs must have 2 to 16 bits, not 1"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message


@pytest.mark.parametrize("factor", [-1, 1 << 16])
def test_impossible_factors_are_refused(factor: int) -> None:
    sums, channels, factors = vectors(SPEC, seed=6)
    channels.factor[3] = factor
    with pytest.raises(ValueError) as error:
        SPEC.reference(sums, channels, factors)
    assert str(error.value) == f"requantise factor must be 0..65535, not {factor}"


def test_resources_are_those_of_synthesis() -> None:
    symmetric = replace(SPEC, lanes=2, sum_bits=20, output_bits=8, symmetric=True, zero_point=False)
    assert_mapped((Requantise(spec), spec.resources) for spec in (SPEC, symmetric))
