"""The integer reference follows the float32 network, keeps to the hardware's widths, and says what does not suit."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.kernels.linear import exact_matmul
from hdl.model import floating, reference
from hdl.model.pooling import MEAN
from hdl.model.quantise import quantise
from hdl.model.weights import random_weights

from .networks import SMALL, texts

WEIGHTS = random_weights(SMALL, 5)
QUANTISED = quantise(WEIGHTS, texts(SMALL, [20] * 6))


def test_integer_products_through_float64_are_exact() -> None:
    generator = np.random.default_rng(1)
    for terms in (1, 77, 4096):
        left = generator.choice([-128, 127, 3], (5, terms)).astype(np.int64)
        right = generator.choice([-127, 127, -1], (terms, 4)).astype(np.int8)
        np.testing.assert_array_equal(exact_matmul(left, right), left @ right.astype(np.int64))


def test_every_intermediate_follows_the_float_network() -> None:
    (ids,) = texts(SMALL, [17], seed=8)
    integers, real = QUANTISED.embed(ids), floating.embed(ids, WEIGHTS.embedding, SMALL)
    assert integers.dtype == np.int16
    np.testing.assert_allclose(QUANTISED.real(integers, 0), real, atol=1e-3)
    trace = reference.run_layer(QUANTISED.layers[0], integers, SMALL)
    expected = floating.run_layer(real, WEIGHTS.layers[0], SMALL)
    for name in ("keys", "values", "queries", "context", "projection", "ffn1", "activation", "ffn2"):
        assert trace[name].shape == expected[name].shape
        correlation = np.corrcoef(trace[name].ravel(), expected[name].ravel())[0, 1]
        # Values and contexts have a scale for each feature, keys and queries one for each head, which blurs this.
        assert correlation > (0.95 if name in ("keys", "values", "queries", "context") else 0.995), name
    error = QUANTISED.real(trace["norm2"], 1) - expected["norm2"]
    assert np.sqrt((error**2).mean()) < 0.06 * expected["norm2"].std()


def test_values_stay_within_the_widths_of_the_hardware() -> None:
    bits = {"sums_qkv": 27, "sums_context": 27, "sums_projection": 27, "sums_ffn1": 27, "sums_ffn2": 27}
    bits |= dict.fromkeys(("keys", "values", "queries", "rows_qkv", "rows_ffn2", "numerators"), 8)
    bits |= dict.fromkeys(("context", "projection", "norm1", "ffn1", "ffn2", "norm2"), 16) | {
        "residual1": 17,
        "residual2": 17,
    }
    extreme = np.where(np.random.default_rng(2).random((20, SMALL.hidden)) < 0.5, -32768, 32767)
    trace = reference.run_layer(QUANTISED.layers[0], extreme, SMALL)
    for name, width in bits.items():
        assert -(1 << (width - 1)) <= trace[name].min(), name
        assert trace[name].max() < 1 << (width - 1), name
    assert trace["activation"].min() >= 0
    assert trace["activation"].max() < 1 << 16


def test_layers_follow_each_other() -> None:
    tokens = QUANTISED.embed([7, 3, 9])
    outputs = reference.run(QUANTISED, tokens)
    assert [output.dtype for output in outputs] == [np.int16, np.int16]
    alone = reference.run(replace(QUANTISED, layers=QUANTISED.layers[1:]), outputs[0])
    np.testing.assert_array_equal(alone[0], outputs[1])


def test_a_texts_embedding_is_near_the_float_networks() -> None:
    for ids in texts(SMALL, [1, 2, 20], seed=9):
        found = QUANTISED.pool(reference.run(QUANTISED, QUANTISED.embed(ids))[-1])
        assert found @ MEAN.of(floating.encode(ids, WEIGHTS)) > 0.99


@pytest.mark.parametrize("shape", [(0, 48), (21, 48), (5, 47), (5,)])
def test_tokens_that_do_not_suit(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        reference.run(QUANTISED, np.zeros(shape, dtype=np.int16))
    found = " x ".join(map(str, shape))
    assert str(error.value) == f"tokens for model 'small' must be of shape 1..20 x 48, not {found}"


def test_texts_that_do_not_suit() -> None:
    with pytest.raises(InputError, match="^text for model 'small' must have at least 1 token, not 0$"):
        QUANTISED.embed([])
    with pytest.raises(InputError, match="^token ids for model 'small' must be 0..49, not 50; "):
        QUANTISED.embed([1, 50])
