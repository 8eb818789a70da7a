"""Layer norm: bit-exact, to the cycle, and close to the real numbers it stands for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.kernels.layernorm import LayerNorm, LayerNormSpec
from hdl.kernels.normparameters import Epsilon, NormParameters
from hdl.kernels.parameters import ChannelParameters
from hdl.kernels.rowstatistics import NORMALISED_BITS, RowStatistics, RowStatisticsSpec
from hdl.stream import connect

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats

SPEC = LayerNormSpec(rows=2, lanes=1, features=24)
SPECS = {
    "one lane": SPEC,
    "odd lanes": replace(SPEC, lanes=3, features=33),
    "power of two, longer than the statistics": replace(SPEC, lanes=2, features=256),
    "four lanes, in LUTs": replace(SPEC, rows=4, lanes=4, features=64, input_bits=12),
    "one beat": replace(SPEC, rows=1, lanes=8, features=8),
}
TILES = 5
LOW, HIGH = -(1 << 16), (1 << 16) - 1
LEAST = Epsilon(value=1)


def rows_of_all_kinds(spec: LayerNormSpec, tokens: int, seed: int) -> np.ndarray:
    """Rows of all magnitudes; the first ones constant, of the greatest deviation, and of the least."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (spec.input_bits - 1)), (1 << (spec.input_bits - 1)) - 1
    values = rng.integers(low, high, (tokens, spec.features), endpoint=True)
    values >>= rng.integers(0, spec.input_bits, (tokens, 1))
    values[0], values[1], values[2] = low, high, 77
    values[3, ::2], values[3, 1::2] = low, high
    values[4] = high
    values[4, -1] = low
    values[-1] = 1
    values[-1, 0] = 0
    return values


def parameters(features: int, seed: int) -> ChannelParameters:
    """Parameters that bring most results into the output's range, and extremes of every field."""
    rng = np.random.default_rng(seed)
    factor = rng.integers(-(1 << 17), 1 << 17, features)
    shift = rng.integers(14, 20, features)
    bias = rng.integers(-(1 << 19), 1 << 19, features) >> rng.integers(0, 19, features)
    for field, extremes in ((factor, (-(1 << 17), (1 << 17) - 1, 0)), (shift, (0, 63)), (bias, (-(1 << 19), 1))):
        for extreme in extremes:
            field[rng.integers(features)] = extreme
    return ChannelParameters(factor=factor, shift=shift, bias=bias, column_sum=np.zeros_like(bias))


def epsilons(spec: LayerNormSpec, tiles: int) -> list[Epsilon]:
    """An epsilon for each tile, another than the one before: the least, the largest, and some between."""
    largest = spec.statistics.largest_epsilon / spec.features**2
    kinds = [spec.statistics.epsilon(real) for real in (0, np.inf, 1, largest / 1000, 1e-7 * largest)]
    return [kinds[tile % len(kinds)] for tile in range(tiles)]


def run(
    spec: LayerNormSpec, values: np.ndarray, channels: ChannelParameters, epsilons: list[Epsilon], **options: Any
) -> StreamResult:
    """The hardware's run over tiles that all use the same parameters but for epsilon."""
    tiles = len(values) // spec.rows
    inputs = {
        "values": as_beats(values, spec.rows, spec.lanes),
        "channels": {
            name: np.tile(field.reshape(-1, spec.lanes), (tiles, 1)) for name, field in vars(channels).items()
        },
        "epsilon": {name: np.array([getattr(one, name) for one in epsilons]) for name in ("value", "places")},
    }
    return run_streams(LayerNorm(spec), inputs, {"normalised": tiles * spec.beats}, **options)


def check(spec: LayerNormSpec, seed: int, **options: Any) -> StreamResult:
    values = rows_of_all_kinds(spec, max(TILES * spec.rows, 6), seed)
    channels = parameters(spec.features, seed)
    every = epsilons(spec, len(values) // spec.rows)
    result = run(spec, values, channels, every, **options)
    tiles = [
        spec.reference(tile, NormParameters(channels=channels, epsilon=epsilon))
        for tile, epsilon in zip(np.split(values, len(every)), every, strict=True)
    ]
    expected = as_beats(np.concatenate(tiles), spec.rows, spec.lanes)
    np.testing.assert_array_equal(result.outputs["normalised"], expected)
    return result


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_rows_equal_the_reference(spec: LayerNormSpec, gaps: int | None) -> None:
    check(spec, seed=1, gaps=gaps)


@pytest.mark.parametrize("spec", list(SPECS.values())[:3], ids=list(SPECS)[:3])
def test_emitted_verilog_equals_the_reference(spec: LayerNormSpec) -> None:
    check(spec, seed=2, gaps=2, simulator="verilator")


def test_emitted_verilog_of_the_largest_rows_equals_the_reference() -> None:
    check(replace(SPEC, lanes=4, features=4096), seed=3, simulator="verilator")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_and_cycles_are_the_specs(spec: LayerNormSpec) -> None:
    result = check(spec, seed=4)
    assert result.latency("values", "normalised", beat=spec.beats - 1) == spec.latency
    first_beats = result.accepted["normalised"][:: spec.beats]
    assert (np.diff(first_beats) == spec.cycles()).all()
    assert (result.accepted["normalised"][spec.beats - 1 :: spec.beats] == first_beats + spec.beats - 1).all()


def test_a_reset_starts_anew() -> None:
    check(SPECS["odd lanes"], seed=5, gaps=5, reset_at=150)


class WithEpsilon(wiring.Component):
    """Row statistics with a constant epsilon."""

    def __init__(self, spec: RowStatisticsSpec, epsilon: Epsilon):
        self.statistics, self.epsilon = RowStatistics(spec), epsilon
        super().__init__({"input": In(stream.Signature(spec.sums)), "output": Out(stream.Signature(spec.layout))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.statistics = self.statistics
        connect(m, self.input, self.statistics.input)
        connect(m, self.statistics.output, self.output)
        m.d.comb += self.statistics.epsilon.as_value().eq(self.epsilon.word())
        return m


@pytest.mark.parametrize("real", [0, np.inf])
@pytest.mark.parametrize("features", [8, 9, 384, 768, 1000, 4096])
def test_statistics_are_exact_at_the_extremes(features: int, real: float) -> None:
    """Sums and variances of the greatest size, in hardware: they fit their widths, beside any epsilon."""
    spec = RowStatisticsSpec(features=features, input_bits=17)
    epsilon = spec.epsilon(real)
    counts = np.array([0, 1, features // 2, features - 1, features])
    # Rows of so many greatest and otherwise least values; and the same of 0 and 1.
    total = np.concatenate([counts * HIGH + (features - counts) * LOW, counts])
    squares = np.concatenate([counts * HIGH**2 + (features - counts) * LOW**2, counts])
    sums = {"total": total, "squares": squares}
    result = run_streams(WithEpsilon(spec, epsilon), {"input": sums}, {"output": len(total)})
    for name, expected in spec.reference(total, squares, epsilon)._asdict().items():
        np.testing.assert_array_equal(result.outputs["output"][name], expected)
    assert result.latency("input", "output") == spec.latency


def normalised(spec: LayerNormSpec, values: np.ndarray) -> np.ndarray:
    """The normalised values themselves, by the reference: in 1/8 of their last place, which is what 16 bits hold."""
    unscaled = np.ones(spec.features, dtype=np.int64)
    channels = ChannelParameters(factor=unscaled, shift=0 * unscaled, bias=0 * unscaled, column_sum=0 * unscaled)
    return spec.reference(values, NormParameters(channels=channels, epsilon=LEAST))


@pytest.mark.parametrize("real", [0, 1e-3, 1, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("features", [8, 11, 384, 768, 1025, 4096])
def test_reference_is_close_to_real_numbers(features: int, real: float) -> None:
    """Rows whose variances are 1 to 2^30, with an epsilon from far below to far above."""
    spec = LayerNormSpec(rows=1, lanes=1, features=features)
    epsilon = spec.statistics.epsilon(real)
    rng = np.random.default_rng(6)
    deviation = 2.0 ** rng.uniform(0, 15, (64, 1))
    values = np.rint(rng.normal(size=(64, features)) * deviation + rng.normal(size=(64, 1)) * deviation)
    values = np.clip(values, LOW, HIGH).astype(np.int64)
    gamma, beta = rng.uniform(0.2, 2, features), rng.uniform(-2, 2, features)
    step = 1 / 1024  # the outputs' last place
    channels = ChannelParameters(
        factor=np.rint(gamma * (1 << 16)).astype(np.int64),
        shift=np.full(features, 14),
        bias=np.rint(beta / step * 16).astype(np.int64),
        column_sum=np.zeros(features, dtype=np.int64),
    )
    # A shift of 14 leaves 2^2 of the factor's 2^16, and 2^12 of the normalised value's fraction: 2^-4 / unit * 2^12.
    scale = spec.unit(epsilon) * 4 / 16
    found = spec.reference(values, NormParameters(channels=channels, epsilon=epsilon)) / scale

    mean, variance = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
    std = np.sqrt(variance + max(real, 1 / features**2))
    exact = (values - mean) / std
    expected = exact * channels.factor / (1 << 16) + channels.bias / 16 / scale
    # The mean is off by a sixteenth at most, the reciprocal by 2^-16, the variance with epsilon by half a unit of its
    # integer, and there are three roundings.
    relative = channels.factor / (1 << 16)
    off = 2.0**-16 + 0.25 / (std * features) ** 2
    bound = (1 / 16 / std + np.abs(exact) * off + 0.5 / spec.unit(epsilon)) * relative + (0.5 + 0.5 / 16) / scale
    clipped = np.abs(expected * scale) > (1 << 15) - 1
    assert (np.abs(found - expected)[~clipped] <= np.broadcast_to(bound, expected.shape)[~clipped] + 1e-9).all()
    assert clipped.mean() < 0.01


@pytest.mark.parametrize("features", [8, 9, 384, 768, 2049, 4096])
def test_constant_rows_are_zero(features: int) -> None:
    """However little epsilon adds to their variance of 0, and however the mean is rounded."""
    spec = LayerNormSpec(rows=1, lanes=1, features=features)
    levels = np.array([LOW, -12345, -1, 0, 1, 77, 54321, HIGH])
    assert not normalised(spec, np.repeat(levels[:, None], features, axis=1)).any()


@pytest.mark.parametrize("features", [8, 9, 1025, 2049, 4096])
def test_normalised_values_fit(features: int) -> None:
    """The rows with the value that is most deviations from the mean: one that differs from all others."""
    spec = LayerNormSpec(rows=1, lanes=1, features=features).statistics
    for difference in (1, 3, HIGH - LOW):
        total, squares = np.array([difference]), np.array([difference**2])
        mean, reciprocal, places = spec.reference(total, squares, LEAST)
        assert ((16 * difference - mean) * reciprocal >> places) < (1 << NORMALISED_BITS - 1) - 1


@pytest.mark.parametrize("input_bits", [8, 16, 17, 18])
@pytest.mark.parametrize("features", [8, 9, 768, 1025, 4096])
def test_normalised_values_fit_and_are_no_coarser_than_the_values(features: int, input_bits: int) -> None:
    """Whatever epsilon: rows at the ends of their range, and with one value that is; and rows of the least variance."""
    spec = RowStatisticsSpec(features=features, input_bits=input_bits)
    low, high = -(1 << (input_bits - 1)), (1 << (input_bits - 1)) - 1
    rows = np.full((3, features), low, dtype=np.int64)
    rows[0, 0], rows[1, : features // 2] = high, high
    rows[2] = np.arange(features) == 0
    for real in 4.0 ** np.arange(-12, 30):
        row = spec.reference(rows.sum(axis=1), (rows * rows).sum(axis=1), spec.epsilon(real))
        assert (row.places < 1 << 5).all()
        found = ((rows << 4) - row.mean[:, None]) * row.reciprocal[:, None] >> row.places[:, None]
        assert np.abs(found).max() < (1 << NORMALISED_BITS - 1) - 1
        step = 16 * row.reciprocal[2] / 2.0 ** row.places[2]
        assert step >= 2.0 ** (18 - input_bits), "what a step of the value is in steps of the normalised value"


def test_epsilon_is_counted_in_units_of_the_values() -> None:
    spec = RowStatisticsSpec(features=24, input_bits=17)
    assert spec.epsilon(0) == spec.epsilon(1e-9) == LEAST
    assert spec.epsilon(6.0) == Epsilon(value=6 * 24 * 24, places=0)
    assert spec.epsilon(4.0**12) == Epsilon(value=24 * 24 << 24, places=1)
    assert spec.epsilon(np.inf).value == spec.largest_epsilon
    # 17 bits, of which one is the sign's, squared, and twice 24; then the headroom.
    assert spec.largest_epsilon == (1 << spec.variance_bits) - 1 - (24 * (LOW - HIGH)) ** 2 // 4
    assert spec.variance_bits == 42 + 8
    row = np.tile([0, 1], 12)[None]
    total, squares = row.sum(axis=1), row.sum(axis=1)
    alone, beside = (spec.reference(total, squares, spec.epsilon(real)) for real in (0, 6.0))
    ratio = alone.reciprocal / beside.reciprocal * 2.0 ** (beside.places - alone.places)
    assert ratio == pytest.approx(5, rel=0.01), "6 beside a variance of 1/4"


def test_a_word_holds_epsilon() -> None:
    channels = ChannelParameters(
        factor=np.arange(3), shift=np.arange(3), bias=-np.arange(3), column_sum=np.zeros(3, dtype=np.int64)
    )
    parameters = NormParameters(channels=channels, epsilon=Epsilon(value=(1 << 60) - 1, places=15))
    assert parameters.epsilon.word() == (1 << 64) - 1
    again = NormParameters.from_words(parameters.words())
    assert again.epsilon == parameters.epsilon
    np.testing.assert_array_equal(again.channels.bias, channels.bias)


def test_epsilons_that_do_not_fit() -> None:
    for value, places, message in (
        (0, 0, f"value must be 1 to {(1 << 60) - 1}, not 0"),
        (1 << 60, 0, f"value must be 1 to {(1 << 60) - 1}, not {1 << 60}"),
        (1, 16, "places must be 0 to 15, not 16"),
    ):
        with pytest.raises(ValueError, match=f"^layer norm epsilon {message}$"):
            Epsilon(value=value, places=places)
    spec = RowStatisticsSpec(features=24, input_bits=17)
    most = spec.largest_epsilon
    with pytest.raises(ValueError, match=f"^layer norm epsilon must be 1 to {most}, not {most + 1}$"):
        spec.reference(np.zeros(1), np.zeros(1), Epsilon(value=most + 1))


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has one of 768 features.
    spec = replace(SPEC, rows=1, lanes=2, features=384)
    assert_mapped([(LayerNorm(spec), spec.resources)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "layer norm rows must be at least 1, not 0"),
        ({"lanes": 0}, "layer norm lanes must be at least 1, not 0"),
        ({"lanes": 5}, "layer norm features must be a multiple of 5 lanes, not 24"),
        ({"features": 7}, "layer norm features must be 8 to 4096, not 7"),
        ({"features": 4097}, "layer norm features must be 8 to 4096, not 4097"),
        ({"input_bits": 19}, "layer norm inputs must have 8 to 18 bits, not 19"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
