"""The integers of units without hardware against real numbers, and at the ends of their ranges."""

import numpy as np
import pytest

from hdl.kernels.parameters import ChannelParameters
from hdl.kernels.rowquantise import RowQuantiseSpec
from hdl.model.floating import attend
from hdl.model.hadamard import spread
from hdl.model.rotary import Angles, turn
from hdl.model.scaling import attention_scales, norm_parameters, shift_channels
from hdl.model.units import (
    EXPONENTIAL_STEPS,
    ROTARY_FRACTION,
    GateSpec,
    GroupedAttentionSpec,
    RMSNormSpec,
    RotarySpec,
    SpreadRowsSpec,
)

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("heads", [1, 3])
def test_norm_of_each_head(heads: int) -> None:
    spec = RMSNormSpec(rows=1, lanes=1, features=64, heads=heads, input_bits=16)
    x = RANDOM.integers(-9000, 9000, (5, 64 * heads)) + 3000  # a mean that stays
    gamma, epsilon = RANDOM.uniform(0.5, 2, 64), 1e5
    words = norm_parameters(spec, gamma * 2000, np.zeros(64), epsilon)
    parts = x.reshape(5, heads, 64)
    expected = parts / np.sqrt((parts**2).mean(axis=-1, keepdims=True) + epsilon) * gamma * 2000
    np.testing.assert_allclose(spec.reference(x, words), expected.reshape(5, -1), atol=2)


@pytest.mark.parametrize("value", [32767, -32768])
def test_norm_of_one_massive_feature(value: int) -> None:
    spec = RMSNormSpec(rows=1, lanes=1, features=576, input_bits=16)
    x = np.ones((1, 576), dtype=np.int64)
    x[0, 7] = value
    found = spec.reference(x, norm_parameters(spec, np.full(576, 1000.0), np.zeros(576), 1e-3))
    np.testing.assert_allclose(found[0, [7, 8]], [np.sign(value) * 24000, 24000 / 32768], rtol=1e-3, atol=0.5)


def test_rows_that_are_spread() -> None:
    rows = RowQuantiseSpec(rows=1, lanes=1, features=256, unsigned=False)
    spec, x = SpreadRowsSpec(block=128, quantise=rows), RANDOM.integers(-300, 300, (4, 256))
    x[1, 5] = 20_000  # one massive feature
    found, factors = spec.reference(x)
    scale = factors.mantissa * 2.0**-factors.exponent / 127
    expected = spread(x, 128) / np.sqrt(128)
    np.testing.assert_allclose(found * scale[:, None] * spec.gain, expected, atol=1.1 * spec.gain * scale.max())
    # Beside what is so large, 8 bits alone would leave nothing of the others.
    assert np.abs(found[1, :128]).min() > 40
    assert spec.reference(np.full((1, 256), 32767))[0].max() == 127


@pytest.mark.parametrize("bits", [8, 16])
def test_turned_pairs(bits: int) -> None:
    spec = RotarySpec(angles=Angles(1000.0), head_size=32, output_bits=bits)
    x, places = RANDOM.integers(-20_000, 20_000, (6, 64)), np.array([8, 9]) if bits == 8 else np.array([0, 1])
    found = spec.reference(x, shift_channels(ROTARY_FRACTION + places), 11)
    expected = turn(x.astype(float), *spec.angles.table(11, 6, 32)) / np.repeat(2.0**places, 32)
    np.testing.assert_allclose(found, np.clip(expected, -(1 << bits - 1), (1 << bits - 1) - 1), atol=2)
    extreme = spec.reference(np.full((40, 64), -32768), shift_channels(ROTARY_FRACTION + 0 * places), 0)
    assert (extreme.min(), extreme.max()) == ((-127, 127) if bits == 8 else (-32768, 32767))


def test_products_of_gates() -> None:
    activated, values = RANDOM.integers(0, 65536, (3, 8)), RANDOM.integers(-32768, 32768, (3, 8))
    none = np.zeros(1, dtype=np.int64)
    words = ChannelParameters(factor=none, shift=none + 17, bias=none + 900, column_sum=none)
    expected = np.clip((activated - 900) * values / 2**17, -32768, 32767)
    np.testing.assert_allclose(GateSpec().reference(activated, values, words), expected, atol=0.5)


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_attention_of_groups(kv_heads: int) -> None:
    heads, size = 6, 32
    spec = GroupedAttentionSpec(heads=heads, kv_heads=kv_heads, head_size=size, max_length=64)
    queries = RANDOM.integers(-20_000, 20_000, (5, heads * size))
    queries[2] //= 1000  # a query of its own scale
    keys, values = RANDOM.integers(-127, 128, (2, 40, kv_heads * size))
    gain = np.full(heads, 4e-7)
    found = spec.reference(queries, keys, values, attention_scales(gain / 127, EXPONENTIAL_STEPS))
    assert found["numerators"].max() == 1023
    factors = (found["factors"].mantissa * 2.0 ** -found["factors"].exponent).T * 2.0**-22
    sums = found["sums"].reshape(5, heads, size) * factors[..., None] * 2**spec.places
    scaled = queries * 4e-7 * np.sqrt(size)
    expected = attend(scaled, keys, values, heads, kv_heads=kv_heads, causal=True)
    np.testing.assert_allclose(sums.reshape(5, -1), expected, atol=1.5)


def test_sums_of_long_texts_fit() -> None:
    spec = GroupedAttentionSpec(heads=1, kv_heads=1, head_size=8, max_length=8192)
    keys, values = np.zeros((8192, 8), dtype=np.int64), np.full((8192, 8), -127)
    found = spec.reference(np.zeros((1, 8), dtype=np.int64), keys, values, attention_scales(np.ones(1) * 1e-6))
    assert -(1 << 26) <= found["sums"].min() < -(1 << 25)
