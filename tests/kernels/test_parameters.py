"""The parameters' words, and the arithmetic that ends every scaling."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from hdl.fixed import limits
from hdl.kernels.parameters import BIAS_FRACTION, SCALED_BITS, ChannelParameters, ChannelWord, RowFactor, finish

RANGES = {"factor": (-(1 << 17), (1 << 17) - 1), "shift": (0, 63), "bias": (-(1 << 19), (1 << 19) - 1)}
RANGES["column_sum"] = RANGES["bias"]


def channels(count: int, seed: int) -> ChannelParameters:
    """Random parameters, the extremes of each field first."""
    rng = np.random.default_rng(seed)
    fields = {name: rng.integers(low, high + 1, count) for name, (low, high) in RANGES.items()}
    for name, extremes in RANGES.items():
        fields[name][:2] = extremes
    return ChannelParameters(**fields)


def test_words_come_back() -> None:
    given = channels(100, seed=1)
    back = ChannelParameters.from_words(given.words())
    for name in RANGES:
        np.testing.assert_array_equal(getattr(back, name), getattr(given, name))


def test_words_are_those_of_the_hardware() -> None:
    given = channels(20, seed=2)
    for i, word in enumerate(given.words()):
        assert ChannelWord.const({name: int(getattr(given, name)[i]) for name in RANGES}).as_bits() == int(word)
    assert (ChannelWord.size, RowFactor.size) == (64, 22)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_values_beyond_their_field_are_refused(name: str, end: int) -> None:
    low, high = RANGES[name]
    wrong = (low - 1, high + 1)[end]
    fields = {field: np.zeros(3, dtype=np.int64) for field in RANGES}
    fields[name][1] = wrong
    with pytest.raises(ValueError) as error:
        ChannelParameters(**fields)
    assert str(error.value) == f"channel {name} must be {low}..{high}, not {wrong}"


@pytest.mark.parametrize(("output_bits", "symmetric"), [(16, False), (8, True), (8, False)])
def test_finish_is_exact(output_bits: int, symmetric: bool) -> None:
    rng = np.random.default_rng(3)
    value = rng.integers(-(1 << 45), 1 << 45, 2000) >> rng.integers(0, 45, 2000)
    shift, bias = rng.integers(0, 64, 2000), rng.integers(-(1 << 19), 1 << 19, 2000) >> rng.integers(0, 20, 2000)
    value[:4], shift[:4] = (-(1 << 45), (1 << 45) - 1, -(1 << 45), -1), (0, 0, 63, 63)

    def clip(x: int, bits: int, symmetric: bool) -> int:
        low, high = limits(bits, symmetric=symmetric)
        return min(max(x, low), high)

    def expected(v: int, s: int, b: int) -> int:
        scaled = clip(floor(Fraction(v, 1 << s) + Fraction(1, 2)) if s else v, SCALED_BITS, False)
        return clip(floor(Fraction(scaled + b, 1 << BIAS_FRACTION) + Fraction(1, 2)), output_bits, symmetric)

    found = finish(value, shift, bias, output_bits, symmetric=symmetric)
    assert found.tolist() == [expected(*map(int, operands)) for operands in zip(value, shift, bias, strict=True)]
