"""What weights of 8 and of 4 bits take on their way out of memory."""

from dataclasses import replace

import pytest

from hdl.model.weightbits import WeightBits
from hdl.perf.designs.phase import Loads, Phase
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.designs.weight_loads import loaded, product_bytes
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec

from ...model.networks import gpt2
from ...top.decoder.designs import MIXED, PACKED, TINY

NETWORK = gpt2("test", layers=2, hidden=32, heads=2, intermediate=64, max_positions=32, vocabulary=90)

LAYER = {"qkv": 3 * 32 * 32, "projection": 32 * 32, "ffn1": 32 * 64, "ffn2": 64 * 32}
HEAD = 32 * 90

PACKED_BYTES = (4 + 4 / 64) / 8
"""Of a weight of 4 bits: its group of 64 has a factor of 4 bits."""

TOKEN = Phase(cycles=1000, bytes=640.0, macs=0, stages={})


def test_a_decoder_that_is_built_says_its_bits_itself() -> None:
    for product, weights in (LAYER | {"head": HEAD}).items():
        each = 1 if product in ("projection", "head") else PACKED_BYTES
        assert product_bytes(MIXED, product, weights, 8) == product_bytes(MIXED, product, weights, 4) == weights * each
    geometry = DecoderLayerSpec(**{name: getattr(TINY, name) for name in DecoderLayerSpec.__dataclass_fields__})
    assert [product_bytes(geometry, "head", 64, bits) for bits in (8, 4)] == [64, 64 * PACKED_BYTES]


def test_a_designs_bytes_are_those_of_its_products() -> None:
    design = SpatialDesign(NETWORK, MIXED)
    layer = LAYER["projection"] + PACKED_BYTES * (LAYER["qkv"] + LAYER["ffn1"] + LAYER["ffn2"])
    assert design.layer_bytes == layer + 64 * MIXED.sections["layer"].beats
    assert design.head_bytes == HEAD
    assert design.decode(3).bytes == 2 * design.layer_bytes + HEAD


@pytest.mark.parametrize("spec", [TINY, PACKED], ids=["tiny", "packed"])
def test_weights_of_the_same_bits_leave_a_phase_as_it_is(spec: DecoderLayerSpec) -> None:
    assert loaded(TOKEN, NETWORK, spec, 5.0) is TOKEN


def test_unpacking_and_wide_weights_do_not_make_up_for_each_other() -> None:
    spec = replace(MIXED, weight_bits=WeightBits.of(4, ("ffn2",)))
    found = loaded(TOKEN, NETWORK, spec, 5.0)
    wide, every = 2 * LAYER["ffn2"], 2 * sum(LAYER.values()) + HEAD
    assert found == replace(TOKEN, loads=Loads(pytest.approx(spec.token_load * (1 - wide / every)), wide))
    slow, fast = found.cycles_at(0.5), found.cycles_at(1e9)
    assert slow == found.loads.unpacking + wide / 0.5
    assert slow > 640 / 0.5
    assert fast == 1000, "the units decide"


def test_a_head_of_8_bits_comes_behind_all_else() -> None:
    found = loaded(TOKEN, NETWORK, MIXED, 300.0)
    assert (found.tail_cycles, found.tail_bytes) == (MIXED.head_cycles(), 300)
    assert found.loads.bytes == 2 * LAYER["projection"] + HEAD
    # Layers that the units decide, and a head that memory does.
    assert found.cycles_at(1.0) == max(1000 - MIXED.head_cycles(), found.loads.cycles_at(1.0) - 300) + max(
        MIXED.head_cycles(), 300
    )
