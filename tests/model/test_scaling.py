"""Real scales as channel words: the kernels make of them what was asked for, over all magnitudes."""

import numpy as np
import pytest

from hdl.kernels.layernorm import LayerNormSpec
from hdl.kernels.parameters import ChannelParameters, RowFactors
from hdl.kernels.requantise import RequantiseSpec
from hdl.kernels.softmax import SoftmaxSpec
from hdl.model.scaling import (
    attention_scales,
    least_norm_scales,
    least_scales,
    norm_parameters,
    quantise_rows,
    requantise_channels,
)


def test_weights_use_their_whole_range() -> None:
    weight = np.random.default_rng(1).normal(size=(20, 50)) * np.logspace(-6, 3, 20)[:, None]
    weight[7] = 0
    integers, scale = quantise_rows(weight)
    assert integers.dtype == np.int8
    assert (np.abs(integers.astype(int)).max(axis=1) == np.where(np.arange(20) == 7, 0, 127)).all()
    assert (np.abs(integers * scale[:, None] - weight) <= scale[:, None] / 2 * (1 + 1e-9)).all()
    assert not integers[7].any()


def test_requantiser_does_what_its_words_are_made_for() -> None:
    generator = np.random.default_rng(2)
    gain = np.concatenate([10.0 ** generator.uniform(-7, -1.3, 500), [2.0**-5, np.nextafter(2.0**-5, 0)]])
    factors = RowFactors(mantissa=np.array([[40_000]]), exponent=np.array([[3]]))
    sums = np.rint(generator.uniform(-1, 1, gain.size) * np.minimum(30_000 / gain / 5000, 2.0**26 - 1)).astype(int)
    bias = generator.uniform(-2000, 2000, gain.size)
    spec = RequantiseSpec(
        rows=1,
        lanes=1,
        channels=gain.size,
        group=gain.size,
        sum_bits=27,
        output_bits=16,
        symmetric=False,
        zero_point=False,
    )
    channels = requantise_channels(gain, bias)
    found = spec.reference(sums[None], channels, factors)[0]
    assert (channels.factor >= 1 << 15).all()
    assert (channels.factor < 1 << 16).all()
    # The sum's own rounding counts for half a last place of it, the factor's for 2**-16 of the result.
    error = np.abs(found - (sums * gain * 5000 + bias))
    assert (error <= 0.6 + 5000 * gain + np.abs(sums * gain * 5000) * 2.0**-15).all()


def test_gains_too_small_for_the_words_fade_to_nothing() -> None:
    channels = requantise_channels(np.array([2.0**-60, 2.0**-80, 0.0]), np.zeros(3))
    assert channels.factor.tolist() == [2**7, 0, 0]
    assert (channels.shift <= 47).all()


def test_gain_and_bias_that_are_too_great() -> None:
    with pytest.raises(ValueError, match="^gain must be below 0.0625, not 1$"):
        requantise_channels(np.array([0.01, 1.0]), np.zeros(2))
    with pytest.raises(ValueError, match="^channel bias must be -524288..524287, not 640000$"):
        requantise_channels(np.array([0.01]), np.array([40_000.0]))


@pytest.mark.parametrize("gain", [1e-6, 3e-4, 0.01, 0.9])
def test_softmax_takes_exponentials_of_real_scores(gain: float) -> None:
    scores = np.random.default_rng(3).integers(-(2**18), 2**18, (1, 5, 9))
    if gain > 0.001:
        scores = scores // 2**14
    spec = SoftmaxSpec(rows=1, lanes=1, heads=1, max_length=9, score_bits=26, key_multiple=1, value_multiple=1)
    numerators, _ = spec.reference(scores, attention_scales(np.array([gain])))
    exact = np.exp((scores - scores.max(axis=-1, keepdims=True)) * gain)
    assert np.abs(numerators / 127 - exact).max() < 0.04


@pytest.mark.parametrize("share", [0, 1e-4, 0.1, 1, 10, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("features", [48, 64, 384])
def test_norm_has_the_deviation_and_mean_asked_for(features: int, share: float) -> None:
    """With an epsilon from far below the rows' variances to far above, beyond what the word holds."""
    generator = np.random.default_rng(4)
    values = generator.normal(300, 4000, (6, features)).astype(int)
    epsilon = share * 4000**2
    gain = np.sqrt(1 + share)  # with which results have the same size
    gamma, beta = generator.normal(1000, 800, features), generator.normal(0, 500, features)
    gamma[:3] = 0, 1e-9, -8000
    spec = LayerNormSpec(rows=1, lanes=1, features=features)
    found = spec.reference(values, norm_parameters(spec, gamma * gain, beta, epsilon))
    deviation = np.sqrt(values.var(axis=1, keepdims=True) + epsilon)
    exact = (values - values.mean(axis=1, keepdims=True)) / deviation * gamma * gain + beta
    assert np.abs(found - np.clip(exact, -32768, 32767)).max() < 4


def test_units_that_hold_a_norms_words() -> None:
    spec = LayerNormSpec(rows=1, lanes=1, features=48)
    gamma, beta = np.array([1.0, 1e6, -3.0, 0.0] * 12), np.array([1000.0, 1e-3, 0.1, 0.0] * 12)
    scales = least_norm_scales(spec, gamma, beta, 1e3)
    safe = np.where(scales > 0, scales, 1)
    parameters = norm_parameters(spec, gamma / safe, beta / safe, 1e3)
    assert parameters.channels.bias[0] == 32767 * 16
    assert parameters.channels.factor[1] == (1 << 17) - 1
    for name, factors in (("bias", (1, 1.001)), ("gain", (1.001, 1))):
        with pytest.raises(ValueError, match=name):
            norm_parameters(spec, gamma * factors[0] / safe, beta * factors[1] / safe, 1e3)


def test_units_that_hold_a_requantisers_words() -> None:
    gain, bias = np.array([1.0, 1e-9]), np.array([0.5, -70.0])
    scales = least_scales(gain, bias)
    channels = requantise_channels(gain / scales, bias / scales)
    assert channels.factor[0] == (1 << 16) - 1
    assert channels.bias[1] == -32767 * 16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**90])
def test_what_is_not_finite_is_refused(value: float) -> None:
    wrong, fine = np.array([0.01, value]), np.array([0.01, 0.01])
    spec = LayerNormSpec(rows=1, lanes=1, features=8)
    for name, refused in (
        ("weights", lambda: quantise_rows(wrong[None])),
        ("gain", lambda: requantise_channels(wrong, fine)),
        ("channel bias", lambda: requantise_channels(fine, wrong)),
        ("gain", lambda: attention_scales(wrong)),
        ("gain", lambda: norm_parameters(spec, np.repeat(np.abs(wrong), 4), np.zeros(8), 0)),
        ("channel bias", lambda: norm_parameters(spec, np.zeros(8), np.repeat(wrong, 4), 0)),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be finite and below 2\\^58, not "):
            refused()


def test_words_survive_the_memory() -> None:
    channels = requantise_channels(np.array([0.01, 1e-9]), np.array([-5.0, 7.0]), np.array([-300, 20]))
    again = ChannelParameters.from_words(channels.words())
    for field in ("factor", "shift", "bias", "column_sum"):
        np.testing.assert_array_equal(getattr(again, field), getattr(channels, field))
