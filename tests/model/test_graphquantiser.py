"""The quantiser of a graph: what it folds where, and what it says of numbers that no word holds."""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import erf, sqrt

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating, reference
from hdl.model.calibrate import calibrate
from hdl.model.graphquantiser import GraphQuantiser
from hdl.model.quantise import quantise
from hdl.model.quantised import QuantisedGraph
from hdl.model.rounding import NearestRounding
from hdl.model.streams import Streams
from hdl.model.weights import Dense, Parameters, Weights, random_weights

from .networks import SMALL, SMALL_BERT, dense, norm, texts

WEIGHTS = {family: random_weights(network, 5) for family, network in SMALL.items()}
TEXTS = texts(SMALL_BERT, [20] * 4)
MODELS = {family: quantise(weights, TEXTS) for family, weights in WEIGHTS.items()}


def with_layer(weights: Weights, index: int, changes: Parameters) -> Weights:
    """The weights with something changed in a layer."""
    layers = list(weights.layers)
    layers[index] = {**layers[index], **changes}
    return replace(weights, layers=tuple(layers))


def test_keys_come_first_then_values_then_queries() -> None:
    layer = quantise(WEIGHTS["bert"], TEXTS, balance=False).layers[0]
    parts = [dense(WEIGHTS["bert"].layers[0], name) for name in ("keys", "values", "queries")]
    for integers, part in zip(np.split(layer.weights["qkv"], 3), parts, strict=True):
        scale = np.abs(part.weight).max(axis=1, keepdims=True) / 127
        assert np.abs(integers - part.weight / scale).max() <= 0.501


@pytest.mark.parametrize("family", SMALL)
def test_heads_and_features_have_units_as_their_edges_say(family: str) -> None:
    for layer in MODELS[family].layers:
        for name in ("keys", "queries"):
            heads = layer.scales[name].reshape(SMALL[family].heads, -1)
            assert (heads == heads[:, :1]).all()
            assert len(np.unique(heads)) == SMALL[family].heads
        for name in ("values", "context"):
            assert len(np.unique(layer.scales[name])) == 48
        assert layer.scales["ffn1"].shape == layer.scales["activation"].shape == ()


def test_activation_table_is_the_exact_gelu() -> None:
    weights = WEIGHTS["bert"]
    bases, deltas = MODELS["bert"].layers[0].tables["activation"].T
    embedded = [floating.embed(ids, weights) for ids in TEXTS]
    layer = SMALL_BERT.layer
    largest = max(floating.run_graph(layer, x, weights.layers[0], SMALL_BERT)["ffn1"].max() for x in embedded)
    inputs = (np.arange(1024) * 64 - 32768) * max(1.25 * largest, 4) / 32767
    exact = np.array([x * (1 + erf(x / sqrt(2))) / 2 for x in inputs]) + 0.1699712
    assert np.abs(bases / bases.max() - exact / exact.max()).max() < 1e-4
    assert bases.min() >= 0
    np.testing.assert_array_equal(bases[:-1] + deltas[:-1], bases[1:])


@pytest.mark.parametrize("family", SMALL)
def test_layers_that_do_nothing_are_no_trouble(family: str) -> None:
    zero = Dense(np.zeros((48, 48), dtype=np.float32), np.zeros(48, dtype=np.float32))
    weights = with_layer(WEIGHTS[family], 1, dict.fromkeys(("values", "queries", "projection"), zero))
    model = quantise(weights, TEXTS)
    outputs = reference.run(model, model.embed(TEXTS[0]))[-1]
    assert outputs.std() > 100


@pytest.mark.parametrize("family", SMALL)
def test_scores_that_no_word_holds(family: str) -> None:
    huge = Dense(np.full((48, 48), 1e5, dtype=np.float32), np.zeros(48, dtype=np.float32))
    with pytest.raises(InputError) as error:
        quantise(with_layer(WEIGHTS[family], 1, {"queries": huge, "keys": huge}), TEXTS)
    assert re.fullmatch(
        r"layer 1 context: gain must be below 131072, not \d\.\d+e\+\d\d; are these the weights of a trained model\?",
        str(error.value),
    )


RANGES = {family: calibrate(weights, TEXTS) for family, weights in WEIGHTS.items()}


def quantised(family: str, scales: Mapping[str, np.ndarray], *, head: bool = False) -> QuantisedGraph:
    """A layer, or the head, between tensors of these scales."""
    network, weights, ranges = SMALL[family], WEIGHTS[family], RANGES[family]
    own = MODELS[family].head if head else MODELS[family].layers[0]
    assert own is not None
    shifts = {} if head else {name: own.channels[name].shift for name in ("residual1", "residual2")}
    place, streams = -1 if head else 0, Streams({**own.scales, **scales}, shifts)
    return GraphQuantiser(
        network, weights.stages[place], ranges[place], streams, NearestRounding(), static=False
    ).quantised()


@pytest.mark.parametrize(
    ("family", "head", "tensor", "operator"),
    [
        ("bert", False, "norm1", "norm1"),
        ("bert", False, "projection", "projection"),
        ("gpt2", False, "ffn2", "ffn2"),
        ("gpt2", True, "logits", "head"),
    ],
)
def test_the_operator_is_named_whose_words_do_not_hold_its_numbers(
    family: str, head: bool, tensor: str, operator: str
) -> None:
    with pytest.raises(InputError) as error:
        quantised(family, {tensor: np.array(1e-12)}, head=head)
    where = "head head" if head else f"layer 0 {operator}"
    number = r"\d+(\.\d+)?(e[+-]\d+)?"
    assert re.fullmatch(
        rf"{where}: gain must be below {number}, not {number}; are these the weights of a trained model\?",
        str(error.value),
    )


def test_units_that_are_given_are_those_of_the_result() -> None:
    scales = MODELS["gpt2"].layers[0].scales
    again = quantised("gpt2", {})
    for name in ("tokens", "projection", "residual1", "ffn2", "residual2"):
        assert again.scales[name] == scales[name]
    np.testing.assert_array_equal(again.weights["ffn2"], MODELS["gpt2"].layers[0].weights["ffn2"])


def test_a_norms_feature_that_hardly_differs_becomes_a_constant() -> None:
    """Where gamma times a feature that is the same in all rows nearly cancels a beta far larger than the result."""
    weights = random_weights(SMALL["gpt2"], 1)
    weights.tables["position"][:, 7] = 1000 * weights.tables["word"].std()
    own = norm(weights.layers[0], "norm1")
    own.beta[7] = -own.gamma[7] * np.sqrt(48 - 1)
    layer = quantise(weights, TEXTS).layers[0]
    assert layer.norms["norm1"].channels.factor[7] == 0
    assert (np.delete(layer.norms["norm1"].channels.factor, 7) != 0).all()
