"""Where a decoder's keys and values lie, and what brings them."""

from dataclasses import fields

import pytest

from hdl.errors import InputError
from hdl.model.load import load_model
from hdl.model.weightbits import W8
from hdl.perf.choice.built import plan
from hdl.perf.choice.off_chip import cache_choices, off_chip
from hdl.perf.designs.budget import shortfall
from hdl.perf.device import Device, load_device
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec
from hdl.perf.geometry.decoder_spec import DecoderSpec

from ...top.decoder.designs import FAR

CHOSEN = DecoderLayerSpec(**{field.name: getattr(FAR, field.name) for field in fields(DecoderLayerSpec)})


def with_ports(ports: int) -> Device:
    """A U280 whose memory has other ports."""
    device = load_device("u280")
    first, *others = device.memories
    return device.model_copy(update={"memories": [first.model_copy(update={"ports": ports}), *others]})


@pytest.mark.parametrize("name", ["gpt2", "gpt2-medium"])
def test_long_texts_have_their_keys_and_values_off_chip(name: str) -> None:
    device = load_device("u280")
    spec = plan(load_model(name), device, max_length=1024)
    assert isinstance(spec, DecoderSpec)
    assert not spec.cache_on_chip
    assert sum(spec.channels) + 1 + 2 * spec.cache_channels <= device.memory.ports
    assert shortfall(spec.resources, device.resources) is None


def test_what_fits_stays_on_chip() -> None:
    spec = plan(load_model("tiny-gpt2"), load_device("u280"), max_length=64)
    assert isinstance(spec, DecoderSpec)
    assert spec.cache_on_chip
    assert not spec.memories


@pytest.mark.parametrize("channels", [1, 2])
def test_arrays_are_as_fast_as_the_chosen_and_blocks_fill_them(channels: int) -> None:
    spec = off_chip(CHOSEN, channels, W8)
    assert spec.cache_channels == channels
    for unit, chosen in ((spec.scores_unit, CHOSEN.scores_unit), (spec.sums_unit, CHOSEN.sums_unit)):
        assert unit.columns % (8 * spec.cache_channels) == 0
        assert unit.tile_cycles(spec.max_length) <= chosen.tile_cycles(spec.max_length)


def test_choices_are_those_whose_blocks_fill_a_head() -> None:
    assert [cache_choices(size) for size in (64, 16, 24)] == [(1, 2, 4), (1, 2), (1,)]


def test_a_head_must_have_columns_for_the_blocks() -> None:
    with pytest.raises(InputError) as error:
        off_chip(CHOSEN, 4, W8)
    assert str(error.value) == "keys and values in off-chip memory need heads whose size is a multiple of 32, not 16"


def test_without_ports_to_spare_there_is_no_such_decoder() -> None:
    # Four of weights and one of parameters and embeddings leave none for both keys and values.
    model = load_model("gpt2-medium")
    with pytest.raises(InputError) as error:
        plan(model, with_ports(6), max_length=1024, tile=4)
    assert str(error.value).startswith("model 'gpt2-medium' on device 'u280' with tiles of 4: ")
