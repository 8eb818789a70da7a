"""The quantiser: what it folds where, its static and unbalanced variants, and weights it must refuse."""

from dataclasses import replace
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating, reference
from hdl.model.pooling import MEAN
from hdl.model.quantise import quantise
from hdl.model.quantised import LINEAR_UNITS, Quantised
from hdl.model.weights import Dense, Weights, random_weights

from .networks import SMALL, texts

WEIGHTS = random_weights(SMALL, 5)
CALIBRATION = texts(SMALL, [20] * 6)
QUANTISED = quantise(WEIGHTS, CALIBRATION)


def cosines(model: Quantised) -> np.ndarray:
    unseen = texts(SMALL, [2, 5, 12, 20, 20], seed=77)
    return np.array(
        [
            model.pool(reference.run(model, model.embed(ids))[-1]) @ MEAN.of(floating.encode(ids, WEIGHTS))
            for ids in unseen
        ]
    )


def with_layer(**changes: Any) -> Weights:
    """The weights with something changed in layer 1."""
    return replace(WEIGHTS, layers=(WEIGHTS.layers[0], replace(WEIGHTS.layers[1], **changes)))


def test_formats_are_those_of_the_hardware() -> None:
    hidden, inner = SMALL.hidden, SMALL.intermediate
    shapes = {
        "qkv": (3 * hidden, hidden),
        "projection": (hidden, hidden),
        "ffn1": (inner, hidden),
        "ffn2": (hidden, inner),
    }
    words = {"qkv": 3 * hidden, "scores": SMALL.heads, "ffn1": inner, "activation": 512}
    words |= dict.fromkeys(("context", "projection", "residual1", "norm1", "ffn2", "residual2", "norm2"), hidden)
    words |= {f"limit_{unit}": 1 for unit in LINEAR_UNITS}
    for layer in QUANTISED.layers:
        for unit in LINEAR_UNITS:
            assert layer.weights(unit).dtype == np.int8
            assert layer.weights(unit).shape == shapes[unit]
            assert layer.weights(unit).min() >= -127
        for name, number in words.items():
            assert layer.block(name).shape == (number,)
            assert layer.block(name).dtype == np.uint64
        assert layer.limits == (0, 0, 0, 0)
    assert QUANTISED.scales.shape == (SMALL.layers + 1, hidden)


def test_keys_come_first_then_values_then_queries() -> None:
    layer = quantise(WEIGHTS, CALIBRATION, balance=False).layers[0]
    parts = (WEIGHTS.layers[0].key, WEIGHTS.layers[0].value, WEIGHTS.layers[0].query)
    for integers, dense in zip(np.split(layer.qkv_weight, 3), parts, strict=True):
        scale = np.abs(dense.weight).max(axis=1, keepdims=True) / 127
        assert np.abs(integers - dense.weight / scale).max() <= 0.501


def test_what_is_balanced_is_undone_before_the_residual_addition() -> None:
    plain = quantise(WEIGHTS, CALIBRATION, balance=False)
    assert not any(layer.residual1.shift.any() or layer.residual2.shift.any() for layer in plain.layers)
    for layer, scales in zip(QUANTISED.layers, QUANTISED.scales[:-1], strict=True):
        assert set(layer.residual1.shift) | set(layer.residual2.shift) <= {0, 1, 2, 3}
        assert len(set(layer.residual2.shift)) > 1
        # One scale for all features at the addition.
        np.testing.assert_allclose(np.ldexp(scales, layer.residual1.shift), scales[0] * 2.0 ** layer.residual1.shift[0])
    assert len(set(QUANTISED.scales[-1])) == 1


def test_balance_helps_and_static_ranges_cost() -> None:
    balanced = cosines(QUANTISED)
    assert balanced.min() > 0.99
    assert balanced.mean() > cosines(quantise(WEIGHTS, CALIBRATION, balance=False)).mean()
    static = cosines(quantise(WEIGHTS, CALIBRATION, static=True))
    assert 0.98 < static.mean() < balanced.mean()


def test_static_limits_are_the_largest_values_that_calibration_saw() -> None:
    static = quantise(WEIGHTS, CALIBRATION, static=True)
    seen = np.zeros((SMALL.layers, 4), dtype=int)
    for ids in CALIBRATION:
        tokens = static.embed(ids)
        for index, layer in enumerate(static.layers):
            trace = reference.run_layer(replace(layer, limits=(0, 0, 0, 0)), tokens, SMALL)
            sources = (tokens, trace["context"], trace["norm1"], trace["activation"])
            seen[index] = np.maximum(seen[index], [np.abs(source.astype(int)).max() for source in sources])
            tokens = trace["norm2"]
    limits = np.array([layer.limits for layer in static.layers])
    assert (np.abs(limits / seen - 1) < 0.1).all()


def test_activation_table_is_the_exact_gelu() -> None:
    layer = QUANTISED.layers[0]
    bases, deltas = layer.activation.T
    embedded = [floating.embed(ids, WEIGHTS.embedding, SMALL) for ids in CALIBRATION]
    largest = max(floating.run_layer(x, WEIGHTS.layers[0], SMALL)["ffn1"].max() for x in embedded)
    inputs = (np.arange(1024) * 64 - 32768) * max(1.25 * largest, 4) / 32767
    exact = np.array([x * (1 + erf(x / sqrt(2))) / 2 for x in inputs]) + 0.1699712
    assert np.abs(bases / bases.max() - exact / exact.max()).max() < 1e-4
    assert bases.min() >= 0
    np.testing.assert_array_equal(bases[:-1] + deltas[:-1], bases[1:])


def test_layers_that_do_nothing_are_no_trouble() -> None:
    zero = Dense(np.zeros((48, 48), dtype=np.float32), np.zeros(48, dtype=np.float32))
    model = quantise(with_layer(value=zero, query=zero, projection=zero), CALIBRATION)
    outputs = reference.run(model, model.embed(CALIBRATION[0]))[-1]
    assert outputs.std() > 100


def test_no_texts() -> None:
    with pytest.raises(InputError, match="^calibration must have at least 1 text, not 0$"):
        quantise(WEIGHTS, [])


def test_texts_that_do_not_suit() -> None:
    with pytest.raises(InputError, match="^text for model 'small' must have at most 20 tokens, not 21; shorten it$"):
        quantise(WEIGHTS, [[1] * 21])


def test_sums_that_could_overflow() -> None:
    spec = replace(SMALL, intermediate=4096)
    weights = random_weights(spec, 1)
    same = replace(weights.layers[1].ffn2, weight=np.full((48, 4096), 0.01, dtype=np.float32))
    weights = replace(weights, layers=(weights.layers[0], replace(weights.layers[1], ffn2=same)))
    with pytest.raises(InputError) as error:
        quantise(weights, CALIBRATION)
    assert str(error.value) == "layer 1 ffn2: sums of output 0 must stay below 67108864, but can reach 132648960"


def test_scores_that_no_word_holds() -> None:
    huge = {name: Dense(np.full((48, 48), 1e5, dtype=np.float32), np.zeros(48)) for name in ("query", "key")}
    with pytest.raises(InputError) as error:
        quantise(with_layer(**huge), CALIBRATION)
    assert str(error.value).startswith("layer 1 scores: gain must be below 131072, not ")
    assert str(error.value).endswith("; are these the weights of a trained model?")


def outputs_of_both(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """A text's last layer, of the integers and of float32."""
    model, ids = quantise(weights, CALIBRATION), texts(SMALL, [20], seed=77)[0]
    return model.real(reference.run(model, model.embed(ids))[-1]), floating.encode(ids, weights)


@pytest.mark.parametrize("size", [1, 1e-2, 1e-4])
def test_epsilon_counts_beside_rows_of_little_variance(size: float) -> None:
    """All that is added, and the first LayerNorm's results, of this size, beside an epsilon of 1e-5."""
    weights = random_weights(replace(SMALL, norm_eps=1e-5), 5)
    for layer in weights.layers:
        for array in (*vars(layer.projection).values(), *vars(layer.ffn2).values(), *vars(layer.norm1).values()):
            array *= np.float32(size)
    for array in vars(weights.embedding.norm).values():
        array *= np.float32(size)
    found, expected = outputs_of_both(weights)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.005)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize("level", [10, 100, 1000])
def test_norms_and_biases_may_cancel_a_feature_that_is_always_the_same(level: float) -> None:
    weights = random_weights(SMALL, 5)
    weights.embedding.norm.gamma[7], weights.embedding.norm.beta[7] = 0, level
    layer = weights.layers[0]
    layer.norm1.beta[7] = -layer.norm1.gamma[7] * np.sqrt(SMALL.hidden - 1)
    for dense in (layer.key, layer.value, layer.query):
        dense.bias[:] -= dense.weight[:, 7] * level
    found, expected = outputs_of_both(weights)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
