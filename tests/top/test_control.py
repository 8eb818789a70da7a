"""Orders follow from what the units ask for."""

import pytest
from amaranth.lib import data

from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.control import LayerOrder, order_readers
from hdl.top.decoder.orders import TileOrder, TilesOrder

from .decoder import designs as decoders
from .designs import ODD, TINY


def asked(spec: PipelineSpec) -> dict[str, set[str]]:
    """The fields of orders that each unit reads."""
    fields = {
        name: {one for one in unit.order_fields if isinstance(one, str)} for name, unit in spec.tile_units.items()
    }
    return {name: own for name, own in fields.items() if own}


@pytest.mark.parametrize("spec", [TINY, ODD], ids=["tiny", "odd"])
def test_an_encoder_s_units_find_their_fields_in_the_order_of_a_layer(spec: PipelineSpec) -> None:
    assert asked(spec) == {
        **{name: {"tiles"} for name in ("qkv", "projection", "ffn1", "ffn2", "activation")},
        "scores": {"tiles", "key_passes"}, "softmax": {"tokens"}, "sums": {"tiles", "value_words"},
    }  # fmt: skip
    assert order_readers(spec) == [
        "qkv", "projection", "ffn1", "ffn2", "scores", "sums", "softmax", "activation", "entry", "exit", "parameters",
    ]  # fmt: skip
    order = LayerOrder(spec)
    assert set().union(*asked(spec).values()) < set(order.members)
    banks = {"passes": spec.scores_unit.banks.max_passes, "words": spec.sums_unit.banks.max_words}
    assert order["key_passes"].width == banks["passes"].bit_length()
    assert order["value_words"].width == banks["words"].bit_length()
    assert order.size == spec.order_bits


@pytest.mark.parametrize("spec", [decoders.TINY, decoders.FAR], ids=["on chip", "off chip"])
def test_a_decoder_s_attention_finds_its_fields_in_the_order_of_a_tile(spec: PipelineSpec) -> None:
    tile: data.StructLayout = TileOrder(spec)
    found = asked(spec)
    for name in ("scores", "softmax", "sums"):
        assert found[name] < set(tile.members), name
    assert ("last" in found["scores"]) is (spec is decoders.FAR)
    assert ("layer" in found["scores"]) is (spec is decoders.TINY)
    assert found["activation"] < set(TilesOrder(spec).members)
