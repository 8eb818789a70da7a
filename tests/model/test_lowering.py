"""Operators as kernels: the numbers of their specs follow from the graph."""

from dataclasses import asdict
from typing import Any

import pytest

from hdl.kernels.activation import ActivationSpec
from hdl.kernels.layernorm import LayerNormSpec
from hdl.kernels.requantise import RequantiseSpec
from hdl.kernels.residual import ResidualSpec
from hdl.kernels.rowquantise import RowQuantiseSpec
from hdl.model.architecture import Add, Attention, Graph, Linear, Norm, Operator, Table
from hdl.model.lowering import Lowering, numeric_specs

from .networks import SMALL_BERT, SMALL_GPT2, gpt2

GEOMETRY = {"rows": 4, "lanes": 2}


def of(graph: Graph, kind: type[Operator], name: str) -> Any:
    found = graph[name]
    assert isinstance(found, kind)
    return found


@pytest.fixture(params=[SMALL_BERT, SMALL_GPT2], ids=["bert", "gpt2"])
def layer(request: pytest.FixtureRequest) -> Lowering:
    return Lowering(request.param.layer, looped=True)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "unsigned", "bits"),
    [
        ("qkv", 48, 144, False, 8),
        ("projection", 48, 48, False, 16),
        ("ffn1", 48, 80, False, 16),
        ("ffn2", 80, 48, True, 16),
    ],
)
def test_linear(layer: Lowering, name: str, inputs: int, outputs: int, unsigned: bool, bits: int) -> None:
    linear = of(layer.graph, Linear, name)
    assert layer.result(linear).bits == bits
    assert layer.row_quantise(linear, **GEOMETRY) == RowQuantiseSpec(**GEOMETRY, features=inputs, unsigned=unsigned)
    assert layer.requantise(linear, **GEOMETRY) == RequantiseSpec(
        **GEOMETRY, channels=outputs, group=outputs, sum_bits=27, output_bits=bits, symmetric=bits == 8,
        zero_point=unsigned,
    )  # fmt: skip
    wider = layer.requantise(linear, **GEOMETRY, sum_bits=20, channels=160)
    assert (wider.sum_bits, wider.channels, wider.group) == (20, 160, 160)


def test_attention(layer: Lowering) -> None:
    attention = of(layer.graph, Attention, "context")
    assert layer.context(attention, **GEOMETRY) == RequantiseSpec(
        **GEOMETRY, channels=48, group=16, sum_bits=27, output_bits=16, symmetric=False, zero_point=False
    )
    others = {"max_length": 20, "score_bits": 26, "key_multiple": 1, "value_multiple": 1}
    softmax = layer.softmax(attention, rows=4, lanes=1, **others)
    assert (softmax.heads, softmax.causal) == (3, layer.graph is SMALL_GPT2.layer)
    assert {name: asdict(softmax)[name] for name in others} == others


def test_residual_path(layer: Lowering) -> None:
    bits = 17 if layer.graph is SMALL_BERT.layer else 16
    for name in ("residual1", "residual2"):
        found = layer.residual(of(layer.graph, Add, name), **GEOMETRY, depth=64)
        assert found == ResidualSpec(**GEOMETRY, features=48, depth=64, output_bits=bits)
    for name in ("norm1", "norm2"):
        found = layer.norm(of(layer.graph, Norm, name), **GEOMETRY)
        assert found == LayerNormSpec(**GEOMETRY, features=48, input_bits=bits)


def test_activation(layer: Lowering) -> None:
    found = layer.activation(of(layer.graph, Table, "activation"), **GEOMETRY, max_tiles=5)
    assert found == ActivationSpec(**GEOMETRY, features=80, max_tiles=5)


def test_head() -> None:
    head = SMALL_GPT2.head
    assert head is not None
    lowering, linear = Lowering(head, looped=False), of(head, Linear, "head")
    assert lowering.norm(of(head, Norm, "norm"), **GEOMETRY).input_bits == 16
    assert lowering.requantise(linear, **GEOMETRY).channels == 50
    assert lowering.requantise(linear, **GEOMETRY, channels=64).channels == 64
    assert not lowering.row_quantise(linear, **GEOMETRY).unsigned


def test_specs_of_the_numbers_are_made_once() -> None:
    network = SMALL_GPT2
    specs = numeric_specs(network, network.layer)
    assert numeric_specs(network, network.layer) is specs
    linear = of(network.layer, Linear, "ffn2")
    assert specs["ffn2"][1] == Lowering(network.layer, looped=True).requantise(linear, rows=1, lanes=1)
    scores, softmax, sums, context = specs["context"]
    assert (scores.heads, scores.head_size, scores.max_length) == (sums.heads, sums.head_size, sums.max_length)
    assert (scores.heads, scores.head_size, scores.max_length, softmax.max_length) == (3, 16, 20, 20)
    assert (softmax.score_bits, context.sum_bits) == (26, 27)
    assert network.head is not None
    assert numeric_specs(network, network.head)["norm"].input_bits == 16


def test_numbers_that_a_kernel_does_not_take_are_refused_at_once() -> None:
    wide = gpt2("wide", layers=1, hidden=4104, heads=3, intermediate=8, max_positions=20, vocabulary=50)
    with pytest.raises(ValueError) as error:
        numeric_specs(wide, wide.layer)
    assert str(error.value) == "layer norm features must be 8 to 4096, not 4104"
