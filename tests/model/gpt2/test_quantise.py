"""Quantisation of GPT-2: the residual stream's units, the head, sums that fit, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hdl.model.layerquantiser import INT16

from hdl.errors import InputError
from hdl.model.floating import FloatDecoder
from hdl.model.quantise import calibrate, quantise, stream_units
from hdl.model.reference import Decoder
from hdl.model.weights import Dense, Weights, random_weights

from ..networks import gpt2
from .networks import SMALL, texts

WEIGHTS = random_weights(SMALL, 1)
TEXTS = texts(SMALL, [20] * 4)
MODEL = quantise(WEIGHTS, TEXTS)


def test_formats_are_those_of_the_hardware() -> None:
    assert MODEL.word.dtype == MODEL.position.dtype == np.int16
    assert MODEL.word.shape == (50, 48)
    assert MODEL.position.shape == (20, 48)
    assert MODEL.head_weight.dtype == np.int8
    assert MODEL.head_weight.shape == (50, 48)
    assert np.abs(MODEL.head_weight.astype(int)).max(axis=1).tolist() == [127] * 50
    assert MODEL.head.factor.shape == (50,)
    assert MODEL.head_limit == 0
    assert MODEL.stream_units.shape == (7,)
    for layer in MODEL.layers:
        for words in (layer.residual1, layer.residual2):
            assert len(set(words.shift.tolist())) == 1
            assert 0 <= words.shift[0] <= 7


def test_the_streams_units_grow_by_the_shifts() -> None:
    shifts = [words.shift[0] for layer in MODEL.layers for words in (layer.residual1, layer.residual2)]
    np.testing.assert_array_equal(MODEL.stream_units[1:], MODEL.stream_units[:-1] * np.exp2(shifts))


def test_the_stream_holds_what_calibration_saw_and_no_unit_is_larger_than_it_must() -> None:
    ranges = [
        {"residual1": np.array([a]), "projection": np.array([1.0]), "residual2": np.array([b]), "ffn2": np.array([1.0])}
        for a, b in ((2.0, 5.0), (4.0, 3000.0), (3000.0, 3000.0))
    ]
    units, places = stream_units(ranges, 1.0)
    needed = np.array([1, 2.5, 6.25, 6.25, 3750, 3750, 3750]) / INT16
    assert (units >= needed * 0.9999).all()
    assert (units[[0, 1, 2]] < 2 * needed[[0, 1, 2]]).all()
    assert places.tolist() == [2, 1, 2, 7, 0, 0], "10 places in the third step are more than the hardware shifts"
    np.testing.assert_array_equal(units[1:], units[:-1] * np.exp2(places))


def test_outliers_that_only_some_layers_have_cost_little() -> None:
    weights = random_weights(replace(SMALL, layers=4), 2)
    weights.layers[1].ffn2.bias[[5, 11]] += 60  # as the published GPT-2s have: hundreds of times the others
    model = quantise(weights, TEXTS)
    decoder = FloatDecoder(weights)
    expected = decoder.logits(decoder.extend(TEXTS[0]))
    found = Decoder(model).prefill(TEXTS[0]).logits * model.logit_unit
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_all_logits_have_one_unit() -> None:
    _, last = calibrate(WEIGHTS, TEXTS)
    assert MODEL.logit_unit == pytest.approx(1.25 * last["logits"].max() / INT16)
    found = np.concatenate([Decoder(MODEL).prefill(text).logits for text in TEXTS])
    assert 0.75 * INT16 < np.abs(found).max() < 0.85 * INT16


def test_static_limits_are_those_of_calibration() -> None:
    model = quantise(WEIGHTS, TEXTS, static=True)
    assert all(1 <= limit <= 0xFFFF for layer in model.layers for limit in layer.limits)
    step = Decoder(model).prefill(TEXTS[0])
    assert 0.7 * model.head_limit < np.abs(step.head["norm"]).max() < 1.1 * model.head_limit
    assert set(step.head["factors_head"][:, 0]) == {Decoder(model).prefill(TEXTS[1]).head["factors_head"][0, 0]}


LONG = gpt2(
    name="long",
    layers=1,
    hidden=8,
    heads=1,
    intermediate=6400,
    max_positions=4,
    vocabulary=10,
    norm_eps=1e-5,
    activation="gelu_new",
)


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_sums_of_long_contractions_always_fit(sign: int) -> None:
    weights = random_weights(LONG, 1)
    alternating = np.where(np.arange(LONG.intermediate) % 2, 1, -1) if sign == 0 else sign
    level = np.broadcast_to(np.float32(0.01) * alternating, (LONG.hidden, LONG.intermediate)).astype(np.float32)
    layer = replace(weights.layers[0], ffn2=Dense(level, weights.layers[0].ffn2.bias))
    model = quantise(replace(weights, layers=(layer,)), texts(LONG, [4]))
    wide = model.layers[0].ffn2_weight.astype(np.int64)
    assert 128 * np.abs(wide).sum(axis=1).max() < 1 << 26
    assert 255 * max(np.maximum(wide, 0).sum(axis=1).max(), np.maximum(-wide, 0).sum(axis=1).max()) < 1 << 26
    assert np.abs(wide).min() > 35, "no more is given away than must be"


def test_no_texts() -> None:
    with pytest.raises(InputError) as error:
        quantise(WEIGHTS, [])
    assert str(error.value) == "calibration must have at least 1 text, not 0"


def test_scores_that_no_word_holds() -> None:
    huge = {name: Dense(np.full((48, 48), 1e5, dtype=np.float32), np.zeros(48)) for name in ("query", "key")}
    layers = (WEIGHTS.layers[0], replace(WEIGHTS.layers[1], **huge), WEIGHTS.layers[2])
    with pytest.raises(InputError) as error:
        quantise(replace(WEIGHTS, layers=layers), TEXTS)
    assert str(error.value).startswith("layer 1 scores: gain must be below 131072, not ")
    assert str(error.value).endswith("; are these the weights of a trained model?")


def logits_of_both(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """A text's logits, of the integers and of float32."""
    model, decoder = quantise(weights, TEXTS), FloatDecoder(weights)
    return Decoder(model).prefill(TEXTS[0]).logits * model.logit_unit, decoder.logits(decoder.extend(TEXTS[0]))


@pytest.mark.parametrize("variance", [1e-2, 3e-5, 1e-5, 2e-6, 1e-8, 1e-12])
def test_epsilon_counts_beside_rows_of_little_variance(variance: float) -> None:
    weights = random_weights(replace(SMALL, layers=1), 1)
    size = np.float32(np.sqrt(variance / (weights.word.var() + weights.position.var())))
    (layer,) = weights.layers
    added = {
        name: Dense(size * getattr(layer, name).weight, size * getattr(layer, name).bias)
        for name in ("projection", "ffn2")
    }
    found, expected = logits_of_both(
        replace(weights, word=size * weights.word, position=size * weights.position, layers=(replace(layer, **added),))
    )
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.005)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("source", ["words", "positions", "bias"])
@pytest.mark.parametrize("level", [100, 1000])
def test_norms_may_cancel_a_feature_that_is_always_the_same(source: str, level: float) -> None:
    """Beta is far larger than all that calibration sees of the feature."""
    weights = random_weights(SMALL, 1)
    if source == "words":
        weights.word[:, 7] = level * weights.word.std()  # of the head's weights, too
    elif source == "positions":
        weights.position[:, 7] = level * weights.word.std()
    else:
        weights.layers[0].projection.bias[7] = level * weights.word.std()
    norms = [norm for layer in weights.layers for norm in (layer.norm1, layer.norm2)] + [weights.norm]
    for norm in norms[source == "bias" :]:
        norm.beta[7] = -norm.gamma[7] * np.sqrt(SMALL.hidden - 1)
    found, expected = logits_of_both(weights)
    assert np.linalg.norm(found - expected) < (0.06 if source == "words" else 0.03) * np.linalg.norm(expected)


def test_biases_may_cancel_what_weights_make_of_such_a_feature() -> None:
    """Those of every linear unit that a LayerNorm feeds, and the projection's."""
    weights = random_weights(SMALL, 1)
    for layer in weights.layers:
        layer.norm1.beta[5], layer.norm2.beta[5] = 50, 50
        layer.norm1.gamma[5], layer.norm2.gamma[5] = 0, 0
        for dense in (layer.query, layer.key, layer.value, layer.ffn1):
            dense.weight[:, 5] *= 20
            dense.bias[:] -= 50 * dense.weight[:, 5]
        layer.value.bias[3] += 100
        layer.projection.bias[:] -= 100 * layer.projection.weight[:, 3]
    found, expected = logits_of_both(weights)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_biases_of_dead_features_cost_nothing() -> None:
    """So negative that the GELU is 0 whatever the row: the range that it needs does not reach there."""
    weights = random_weights(SMALL, 1)
    weights.layers[1].ffn1.bias[10:14] = [-1e7, -1e3, -30, -10]
    found, expected = logits_of_both(weights)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
