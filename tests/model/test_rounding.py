"""Weights of 4 bits: they are multiples, they follow the inputs, and the decoder follows the float32 one."""

import numpy as np
import pytest

from hdl.model.floating import FloatDecoder, embed, run_graph
from hdl.model.groups import nibbles
from hdl.model.network import Network
from hdl.model.perplexity import compare
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder
from hdl.model.rounding import GroupRounding, Inputs, NearestRounding, group_roundings
from hdl.model.weightbits import INTEGERS, W4, W8, WeightBits
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
    assert [sorted(rounding.inputs) for rounding in roundings] == [sorted(LINEAR_UNITS)] * 3 + [["head"]]
    rows, weight = first_layers("activation"), dense(WEIGHTS.layers[0], "ffn2").weight
    integers, scale = roundings[0]("ffn2", weight, np.ones(200))
    blind, blind_scale = GroupRounding({"ffn2": Inputs(np.eye(200), np.ones(200))}, W4)("ffn2", weight, np.ones(200))
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
    groups = [GroupRounding({"ffn1": Inputs(np.eye(96), np.ones(96))}, bits) for bits in (W8, W4)]
    for rounding in (NearestRounding(), *groups):
        integers, scale = rounding("ffn1", weight, np.ones(96))
        assert not integers.any()
        assert not scale.any()


GATED = Network.of(
    "gated", "llama",
    {"layers": 2, "hidden": 48, "heads": 3, "kv_heads": 1, "intermediate": 96, "max_positions": 24, "vocabulary": 50},
)  # fmt: skip


def test_5_bits_are_between_4_and_8() -> None:
    weights, calibration = random_weights(GATED, 1), texts(GATED, [24] * 20)
    models = {
        str(bits): quantise(weights, calibration, weight_bits=WeightBits.of(bits, known=INTEGERS)) for bits in (8, 5, 4)
    }
    factors = models["5"].group_factors
    assert max(own.max() for own in factors.values()) == 7
    assert models["5"].weight_bits == WeightBits(5)
    found = compare(
        lambda ids: FloatDecoder(weights).extend(ids)["logits"],
        {name: lambda ids, own=own: Decoder(own).prefill(ids).logits * own.logit_scale for name, own in models.items()},  # type: ignore[misc]
        texts(GATED, [24] * 4, seed=2),
    )
    assert 0 < 3 * found["8"].divergence < found["5"].divergence < 0.7 * found["4"].divergence


def test_massive_first_tokens_count_little() -> None:
    weights, calibration = random_weights(GATED, 1), texts(GATED, [24] * 20)
    found = []
    for factor in (1, 1000):
        weights.tables["word"][0] *= factor
        inputs = next(group_roundings(weights, [[0, *ids[1:]] for ids in calibration], W4)).inputs["projection"]
        found.append(np.trace(inputs.hessian) / inputs.power.sum())
    assert all(1 < share <= 1 / 0.9 + 1e-9 for share in found)
