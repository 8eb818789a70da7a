"""Weights of 4 bits: they are multiples, they follow the inputs, and the decoder follows the float32 one."""

import numpy as np
import pytest

from hdl.model.floating import FloatDecoder, embed, run_graph
from hdl.model.groups import nibbles
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder
from hdl.model.rounding import GroupRounding, NearestRounding, group_roundings
from hdl.model.weightbits import W4, W8, WeightBits
from hdl.model.weights import random_weights

from .networks import dense, gpt2, texts

SPEC = gpt2("small", layers=3, hidden=96, heads=3, intermediate=200, max_positions=20, vocabulary=50)
LINEAR_UNITS = ("qkv", "projection", "ffn1", "ffn2")
WEIGHTS = random_weights(SPEC, 1)
TEXTS = texts(SPEC, [20] * 20)
MODEL, WIDE = quantise(WEIGHTS, TEXTS, weight_bits=W4), quantise(WEIGHTS, TEXTS)


def units(model: Quantised) -> dict[str, np.ndarray]:
    """All matrices by the names of their factors."""
    assert model.head is not None
    found = {f"{index}.{unit}": own for index, layer in enumerate(model.layers) for unit, own in layer.weights.items()}
    return found | dict(model.head.weights)


def test_all_weights_are_multiples_of_their_groups_factors() -> None:
    matrices = units(MODEL)
    assert MODEL.group_factors.keys() == matrices.keys()
    for name, weight in matrices.items():
        factors = MODEL.group_factors[name]
        assert factors.shape == (len(weight), -(-weight.shape[1] // 64)), name
        assert 1 <= factors.min() <= factors.max() <= 15, name
        assert len(np.unique(nibbles(weight, factors))) == 16, "all integers of 4 bits are used"
    assert MODEL.weight_bits == W4
    assert (WIDE.group_factors, WIDE.weight_bits) == ({}, W8)


@pytest.mark.parametrize("int8", [("head",), ("qkv", "ffn2"), ("projection", "ffn1", "ffn2")], ids="-".join)
def test_products_of_either_width_are_those_of_models_that_have_only_that(int8: tuple[str, ...]) -> None:
    bits = WeightBits.of(4, int8)
    mixed, found = quantise(WEIGHTS, TEXTS, weight_bits=bits), units(WIDE)
    packed = {name for name in found if name.rpartition(".")[-1] not in int8}
    assert mixed.weight_bits == bits
    assert mixed.group_factors.keys() == packed
    for name, weight in units(mixed).items():
        np.testing.assert_array_equal(weight, units(MODEL if name in packed else WIDE)[name], name)
        if name in packed:
            np.testing.assert_array_equal(mixed.group_factors[name], MODEL.group_factors[name], name)
    for own, layer in zip(mixed.layers, WIDE.layers, strict=True):
        for unit in LINEAR_UNITS:
            same = np.array_equal(own.block(unit), layer.block(unit))
            assert same == (unit in int8), "the words that go with its weights"


def test_logits_follow_the_float_decoders() -> None:
    (ids,) = texts(SPEC, [20], seed=9)
    expected = FloatDecoder(WEIGHTS).extend(ids)["logits"]

    def correlation(model: Quantised) -> float:
        found = Decoder(model).prefill(ids).logits * model.logit_scale
        return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])

    assert 0.97 < correlation(MODEL) < correlation(WIDE)


def first_layers(name: str) -> np.ndarray:
    """The rows of a tensor of the first layer, of all texts."""
    traces = [run_graph(SPEC.layer, embed(ids, WEIGHTS), WEIGHTS.layers[0], SPEC) for ids in TEXTS]
    return np.concatenate([trace[name] for trace in traces])


def test_the_inputs_that_texts_cause_count() -> None:
    roundings = list(group_roundings(WEIGHTS, TEXTS, W4))
    assert [sorted(rounding.hessians) for rounding in roundings] == [sorted(LINEAR_UNITS)] * 3 + [["head"]]
    rows, weight = first_layers("activation"), dense(WEIGHTS.layers[0], "ffn2").weight
    integers, scale = roundings[0]("ffn2", weight, np.ones(200))
    blind, blind_scale = GroupRounding({"ffn2": np.eye(200)})("ffn2", weight, np.ones(200))
    error, blind_error = (
        np.linalg.norm(rows @ (found * own[:, None] - weight).T)
        for found, own in ((integers, scale), (blind, blind_scale))
    )
    assert error < 0.75 * blind_error


def test_units_of_the_inputs_are_taken_in() -> None:
    rounding = next(group_roundings(WEIGHTS, TEXTS, W4))
    weight = dense(WEIGHTS.layers[0], "ffn1").weight
    input_scales = np.exp2(np.arange(96) % 5 - 2.0)
    integers, scale = rounding("ffn1", weight * input_scales, input_scales)
    rows = first_layers("norm2")
    real = integers * scale[:, None] / input_scales
    assert np.linalg.norm(rows @ (real - weight).T) < 0.2 * np.linalg.norm(rows @ weight.T)


def test_outputs_of_zeros() -> None:
    weight = np.zeros((3, 96))
    for rounding in (NearestRounding(), GroupRounding({"ffn1": np.eye(96)})):
        integers, scale = rounding("ffn1", weight, np.ones(96))
        assert not integers.any()
        assert not scale.any()
