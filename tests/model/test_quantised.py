"""Quantised networks in memory: blocks of parameters, scales, and the host's share."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating
from hdl.model.pooling import MEAN
from hdl.model.weightbits import W4, W8, WeightBits
from hdl.model.weights import random_weights

from .networks import SMALL_BERT, SMALL_GPT2, quantised

BERT, GPT2 = quantised(SMALL_BERT), quantised(SMALL_GPT2)


def test_limits_are_words_by_the_names_of_their_operators() -> None:
    limits = {"qkv": 1, "projection": 2, "ffn1": 3, "ffn2": 4}
    layer = replace(BERT.layers[0], limits=limits)
    assert {name: layer.block(f"limit_{name}").tolist() for name in limits} == {n: [v] for n, v in limits.items()}


def test_blocks_are_the_words_of_operators() -> None:
    layer = GPT2.layers[0]
    for name in ("qkv", "scores", "context", "residual1"):
        np.testing.assert_array_equal(layer.block(name), layer.channels[name].words())
    words = layer.norms["norm1"].words()
    np.testing.assert_array_equal(np.concatenate([layer.block("epsilon_norm1"), layer.block("norm1")]), words)
    assert layer.block("activation").shape == (512,)
    assert GPT2.head is not None
    np.testing.assert_array_equal(GPT2.head.block("head"), GPT2.head.channels["head"].words())
    assert GPT2.head.block("limit_head").tolist() == [0]
    with pytest.raises(KeyError):
        layer.block("nothing")


def test_an_encoders_input_is_the_float_networks() -> None:
    ids = [7, 3, 9]
    real, found = floating.embed(ids, random_weights(SMALL_BERT, 1)), BERT.embed(ids)
    assert found.dtype == np.int16
    scales = BERT.layers[0].scales["tokens"]
    assert (np.abs(BERT.real(found, 0) - real) <= 0.501 * scales).all()
    np.testing.assert_array_equal(BERT.integers(real), found)


def test_a_decoders_input_is_the_sum_of_its_tables() -> None:
    found = GPT2.embed([7, 3, 9], start=2)
    word, position = GPT2.tables["word"].astype(int), GPT2.tables["position"].astype(int)
    np.testing.assert_array_equal(found, word[[7, 3, 9]] + position[2:5])


def test_real_values_and_the_texts_embedding() -> None:
    outputs = np.random.default_rng(1).integers(-32768, 32768, (5, 48))
    scales = BERT.layers[-1].scales["norm2"]
    np.testing.assert_array_equal(BERT.real(outputs), outputs * scales)
    np.testing.assert_array_equal(BERT.real(outputs, 1), outputs * BERT.layers[1].scales["tokens"])
    np.testing.assert_array_equal(BERT.pool(outputs), MEAN.of(outputs * scales))


def test_bits_of_weights_follow_from_the_factors() -> None:
    assert BERT.weight_bits == GPT2.weight_bits == W8
    assert quantised(SMALL_GPT2, weight_bits=W4).weight_bits == W4
    mixed = WeightBits.of(4, ("head", "ffn1"))
    assert quantised(SMALL_GPT2, weight_bits=mixed).weight_bits == mixed


@pytest.mark.parametrize("model", [BERT, GPT2], ids=["bert", "gpt2"])
def test_texts_that_do_not_suit(model: object) -> None:
    for ids, message in (
        ([], "text for model 'small' must have at least 1 token, not 0"),
        ([1, 50], "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
        ([1] * 21, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
    ):
        with pytest.raises(InputError) as error:
            model.embed(ids)
        assert str(error.value) == message
