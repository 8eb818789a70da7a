"""Quantised networks: their formats, how near they are to float32, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.kernels.parameters import ChannelParameters
from hdl.model import floating, reference
from hdl.model.architecture import Add
from hdl.model.calibrate import calibrate
from hdl.model.floating import FloatDecoder
from hdl.model.network import Network
from hdl.model.pooling import MEAN
from hdl.model.quantise import check_quantisable, quantise
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder
from hdl.model.scaling import INT16
from hdl.model.weights import Dense, Parameters, Weights, random_weights

from .networks import SMALL, SMALL_BERT, SMALL_GPT2, bert, dense, gpt2, norm, texts

WEIGHTS = {family: random_weights(network, 5) for family, network in SMALL.items()}
TEXTS = texts(SMALL_BERT, [20] * 6)
MODELS = {family: quantise(weights, TEXTS) for family, weights in WEIGHTS.items()}
BERT, GPT2 = MODELS["bert"], MODELS["gpt2"]


def with_layer(weights: Weights, index: int, **changes: Dense) -> Weights:
    """The weights with something changed in a layer."""
    layers: list[Parameters] = list(weights.layers)
    layers[index] = {**layers[index], **changes}
    return replace(weights, layers=tuple(layers))


def test_formats_of_layers_are_those_of_the_hardware() -> None:
    for family, model in MODELS.items():
        network = SMALL[family]
        hidden, inner = network.hidden, network.intermediate
        words = {"qkv": 3 * hidden, "scores": network.heads, "ffn1": inner, "activation": 512}
        words |= dict.fromkeys(("context", "projection", "residual1", "norm1", "ffn2", "residual2", "norm2"), hidden)
        words |= {f"limit_{linear.name}": 1 for linear in network.operators}
        words |= {"epsilon_norm1": 1, "epsilon_norm2": 1}
        for layer in model.layers:
            for linear in network.operators:
                weights = layer.weights[linear.name]
                assert (weights.dtype, weights.shape) == (np.int8, (linear.outputs, linear.inputs))
                assert weights.min() >= -127
            for name, number in words.items():
                assert layer.block(name).shape == (number,), name
                assert layer.block(name).dtype == np.uint64, name
            assert layer.limits == {linear.name: 0 for linear in network.operators}
            for name, scale in layer.scales.items():
                assert scale.shape in ((), (network.layer.widths[name],)), name
        assert layer.scales.keys() == network.layer.widths.keys()


def test_formats_of_an_encoder_are_those_of_the_hardware() -> None:
    assert BERT.head is None
    assert BERT.layers[0].scales["tokens"].shape == BERT.layers[-1].scales["norm2"].shape == (48,)
    assert {name: table.dtype for name, table in BERT.tables.items()} == dict.fromkeys(
        ("word", "position", "token_type"), np.dtype(np.float32)
    )


def test_formats_of_a_decoder_are_those_of_the_hardware() -> None:
    assert {name: (table.dtype, table.shape) for name, table in GPT2.tables.items()} == {
        "word": (np.int16, (50, 48)),
        "position": (np.int16, (20, 48)),
    }
    assert GPT2.embedding == {}
    assert GPT2.head is not None
    assert GPT2.head.weights.keys() == {"head"}
    assert GPT2.head.weights["head"].dtype == np.int8
    assert GPT2.head.weights["head"].shape == (50, 48)
    assert np.abs(GPT2.head.weights["head"].astype(int)).max(axis=1).tolist() == [127] * 50
    assert GPT2.head.channels["head"].factor.shape == (50,)
    assert GPT2.head.limits == {"head": 0}
    assert GPT2.head.block("norm").shape == (48,)
    for layer in GPT2.layers:
        for words in (layer.channels["residual1"], layer.channels["residual2"]):
            assert len(set(words.shift.tolist())) == 1
            assert 0 <= words.shift[0] <= 7


def test_all_logits_have_one_scale() -> None:
    last = calibrate(WEIGHTS["gpt2"], TEXTS)[-1]
    assert GPT2.logit_scale == pytest.approx(1.25 * last["logits"].max() / INT16)
    found = np.concatenate([Decoder(GPT2).prefill(text).logits for text in TEXTS])
    assert 0.75 * INT16 < np.abs(found).max() < 0.85 * INT16


def cosines(model: Quantised) -> np.ndarray:
    """Of unseen texts' embeddings with those in float32."""
    unseen = texts(SMALL_BERT, [2, 5, 12, 20, 20], seed=77)
    found = [model.pool(reference.run(model, model.embed(ids))[-1]) for ids in unseen]
    return np.array(
        [own @ MEAN.of(floating.encode(ids, WEIGHTS["bert"])) for own, ids in zip(found, unseen, strict=True)]
    )


def test_balance_helps_and_static_ranges_cost() -> None:
    balanced = cosines(BERT)
    assert balanced.min() > 0.99
    assert balanced.mean() > cosines(quantise(WEIGHTS["bert"], TEXTS, balance=False)).mean()
    static = cosines(quantise(WEIGHTS["bert"], TEXTS, static=True))
    assert 0.98 < static.mean() < balanced.mean()


def test_static_limits_are_the_largest_values_that_calibration_saw() -> None:
    static = quantise(WEIGHTS["bert"], TEXTS, static=True)
    free = {linear.name: 0 for linear in SMALL_BERT.operators}
    seen = [dict(free) for _ in static.layers]
    for ids in TEXTS:
        tokens = static.embed(ids)
        for found, layer in zip(seen, static.layers, strict=True):
            trace = reference.run_layer(replace(layer, limits=free), tokens, SMALL_BERT) | {"tokens": tokens}
            for linear in SMALL_BERT.operators:
                found[linear.name] = max(found[linear.name], np.abs(trace[linear.source].astype(int)).max())
            tokens = trace["norm2"]
    for layer, found in zip(static.layers, seen, strict=True):
        assert layer.limits.keys() == found.keys()
        assert all(abs(limit / found[name] - 1) < 0.1 for name, limit in layer.limits.items())


def test_static_limits_of_a_decoder_are_those_of_calibration() -> None:
    model = quantise(WEIGHTS["gpt2"], TEXTS, static=True)
    assert all(1 <= limit <= 0xFFFF for layer in model.layers for limit in layer.limits.values())
    assert model.head is not None
    limit, step = model.head.limits["head"], Decoder(model).prefill(TEXTS[0])
    assert 0.7 * limit < np.abs(step.head["norm"]).max() < 1.1 * limit
    assert set(step.head["factors_head"][:, 0]) == {Decoder(model).prefill(TEXTS[1]).head["factors_head"][0, 0]}


def outputs_of_both(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """A text's logits, or an encoder's outputs, of the integers and of float32."""
    model = quantise(weights, TEXTS)
    if weights.network.causal:
        found = Decoder(model).prefill(TEXTS[0]).logits * model.logit_scale
        return found, FloatDecoder(weights).extend(TEXTS[0])["logits"]
    (ids,) = texts(SMALL_BERT, [20], seed=77)
    return model.real(reference.run(model, model.embed(ids))[-1]), floating.encode(ids, weights)


def correlation(weights: Weights) -> float:
    found, expected = outputs_of_both(weights)
    return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])


def test_outliers_that_only_some_layers_have_cost_little() -> None:
    weights = random_weights(replace(SMALL_GPT2, layers=4), 2)
    dense(weights.layers[1], "ffn2").bias[[5, 11]] += 60  # as the published GPT-2s have: hundreds of times the others
    assert correlation(weights) > 0.99


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize("of", [bert, gpt2], ids=["bert", "gpt2"])
def test_either_form_of_the_gelu(of: type, activation: str) -> None:
    sizes = {"layers": 2, "hidden": 48, "heads": 3, "intermediate": 80, "max_positions": 20, "vocabulary": 50}
    assert correlation(random_weights(of("form", **sizes, activation=activation), 5)) > 0.99


@pytest.mark.parametrize("size", [1, 1e-2, 1e-4])
def test_epsilon_counts_beside_rows_of_little_variance_in_an_encoder(size: float) -> None:
    """All that is added, and the first LayerNorm's results, of this size, beside an epsilon of 1e-5."""
    weights = random_weights(replace(SMALL_BERT, norm_eps=1e-5), 1)
    parts = [layer[name] for layer in weights.layers for name in ("projection", "ffn2", "norm1")]
    for part in (*parts, weights.embedding["norm"]):
        for array in vars(part).values():
            array *= np.float32(size)
    found, expected = outputs_of_both(weights)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.005)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize("variance", [1e-2, 3e-5, 1e-5, 2e-6, 1e-8, 1e-12])
def test_epsilon_counts_beside_rows_of_little_variance_in_a_decoder(variance: float) -> None:
    weights = random_weights(replace(SMALL_GPT2, layers=1), 1)
    size = np.float32(np.sqrt(variance / sum(table.var() for table in weights.tables.values())))
    own = {name: dense(weights.layers[0], name) for name in ("projection", "ffn2")}
    small = {name: Dense(size * part.weight, size * part.bias) for name, part in own.items()}
    weights = replace(with_layer(weights, 0, **small), tables={n: size * table for n, table in weights.tables.items()})
    head = {**weights.head, "logits": Dense(weights.tables["word"], dense(weights.head, "logits").bias)}
    found, expected = outputs_of_both(replace(weights, head=head))
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.005)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("level", [10, 100, 1000])
def test_an_encoders_norms_and_biases_may_cancel_a_feature_that_is_always_the_same(level: float) -> None:
    weights = random_weights(SMALL_BERT, 5)
    first, layer = norm(weights.embedding, "norm"), weights.layers[0]
    first.gamma[7], first.beta[7] = 0, level
    own = norm(layer, "norm1")
    own.beta[7] = -own.gamma[7] * np.sqrt(SMALL_BERT.hidden - 1)
    for part in (dense(layer, name) for name in ("keys", "values", "queries")):
        part.bias[:] -= part.weight[:, 7] * level
    found, expected = outputs_of_both(weights)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("source", ["words", "positions", "bias"])
@pytest.mark.parametrize("level", [100, 1000])
def test_a_decoders_norms_may_cancel_a_feature_that_is_always_the_same(source: str, level: float) -> None:
    """Beta is far larger than all that calibration sees of the feature."""
    weights = random_weights(SMALL_GPT2, 1)
    word, position = weights.tables["word"], weights.tables["position"]
    if source == "words":
        word[:, 7] = level * word.std()  # of the head's weights, too
    elif source == "positions":
        position[:, 7] = level * word.std()
    else:
        dense(weights.layers[0], "projection").bias[7] = level * word.std()
    norms = [norm(layer, name) for layer in weights.layers for name in ("norm1", "norm2")] + [
        norm(weights.head, "norm")
    ]
    for own in norms[source == "bias" :]:
        own.beta[7] = -own.gamma[7] * np.sqrt(SMALL_GPT2.hidden - 1)
    found, expected = outputs_of_both(weights)
    assert np.linalg.norm(found - expected) < (0.06 if source == "words" else 0.03) * np.linalg.norm(expected)


def test_biases_may_cancel_what_weights_make_of_such_a_feature() -> None:
    """Those of every linear unit that a LayerNorm feeds, and the projection's."""
    weights = random_weights(SMALL_GPT2, 1)
    for layer in weights.layers:
        for own in (norm(layer, "norm1"), norm(layer, "norm2")):
            own.beta[5], own.gamma[5] = 50, 0
        for part in (dense(layer, name) for name in ("queries", "keys", "values", "ffn1")):
            part.weight[:, 5] *= 20
            part.bias[:] -= 50 * part.weight[:, 5]
        dense(layer, "values").bias[3] += 100
        projection = dense(layer, "projection")
        projection.bias[:] -= 100 * projection.weight[:, 3]
    assert correlation(weights) > 0.98


@pytest.mark.parametrize("family", SMALL)
def test_biases_of_dead_features_cost_nothing(family: str) -> None:
    """So negative that the GELU is 0 whatever the row: the range that it needs does not reach there."""
    weights = random_weights(SMALL[family], 1)
    dense(weights.layers[1], "ffn1").bias[10:14] = [-1e7, -1e3, -30, -10]
    assert correlation(weights) > 0.999


LONG = {"layers": 1, "hidden": 8, "heads": 1, "intermediate": 6400, "max_positions": 4, "vocabulary": 10}


@pytest.mark.parametrize("network", [bert("long", **LONG), gpt2("long", **LONG)], ids=["bert", "gpt2"])
@pytest.mark.parametrize("sign", [1, -1, 0])
def test_sums_of_long_contractions_always_fit(network: Network, sign: int) -> None:
    weights = random_weights(network, 1)
    alternating = np.where(np.arange(network.intermediate) % 2, 1, -1) if sign == 0 else sign
    level = np.broadcast_to(np.float32(0.01) * alternating, (network.hidden, network.intermediate)).astype(np.float32)
    ffn2 = Dense(level, dense(weights.layers[0], "ffn2").bias)
    model = quantise(with_layer(weights, 0, ffn2=ffn2), texts(network, [4]))
    wide = model.layers[0].weights["ffn2"].astype(np.int64)
    assert 128 * np.abs(wide).sum(axis=1).max() < 1 << 26
    assert 255 * max(np.maximum(wide, 0).sum(axis=1).max(), np.maximum(-wide, 0).sum(axis=1).max()) < 1 << 26
    assert np.abs(wide).min() > 35, "no more is given away than must be"


def test_weights_that_need_not_be_smaller_keep_all_levels() -> None:
    """Up to 4,096 terms all sums fit whose weights have both signs."""
    network = replace(SMALL_BERT, layers=1, intermediate=4096)
    model = quantise(random_weights(network, 1), texts(network, [20]))
    for name, weights in model.layers[0].weights.items():
        assert set(np.abs(weights.astype(int)).max(axis=1)) == {127}, name


@pytest.mark.parametrize("family", SMALL)
def test_no_texts(family: str) -> None:
    with pytest.raises(InputError) as error:
        quantise(WEIGHTS[family], [])
    assert str(error.value) == "calibration must have at least 1 text, not 0"


@pytest.mark.parametrize("family", SMALL)
def test_texts_that_do_not_suit(family: str) -> None:
    with pytest.raises(InputError) as error:
        quantise(WEIGHTS[family], [[1] * 21])
    assert str(error.value) == "text for model 'small' must have at most 20 tokens, not 21; shorten it"


@pytest.mark.parametrize("of", [bert, gpt2], ids=["bert", "gpt2"])
def test_networks_that_no_kernel_takes(of: type) -> None:
    sizes = {"layers": 1, "max_positions": 20, "vocabulary": 50}
    check_quantisable(of("most", hidden=4096, heads=2, intermediate=1 << 18, **sizes))
    for hidden, heads, reason in (
        (4104, 513, "layer norm features must be 8 to 4096, not 4104"),
        (8192, 64, "layer norm features must be 8 to 4096, not 8192"),
        (48, 4, "attention head size must be a multiple of 8, not 12"),
    ):
        with pytest.raises(InputError) as error:
            check_quantisable(of("other", hidden=hidden, heads=heads, intermediate=8, **sizes))
        assert str(error.value) == f"model 'other' cannot be quantised: {reason}"


def test_it_is_said_before_anything_is_computed() -> None:
    network = bert("other", layers=1, hidden=4, heads=2, intermediate=8, max_positions=20, vocabulary=50)
    with pytest.raises(InputError, match="^model 'other' cannot be quantised: "):
        quantise(random_weights(network, 1), [])


def test_words_of_additions_are_shifts_alone() -> None:
    for family, model in MODELS.items():
        for layer in model.layers:
            for add in SMALL[family].layer.of(Add):
                words: ChannelParameters = layer.channels[add.name]
                assert not any(values.any() for values in (words.factor, words.bias, words.column_sum))
