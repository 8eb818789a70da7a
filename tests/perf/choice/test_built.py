"""From a model and a device to the pipeline that is built."""

import pytest

from hdl.errors import InputError
from hdl.perf.choice.built import plan
from hdl.perf.designs.spatial_design import prompt_cycles
from hdl.perf.device import load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec

from ...model.networks import bert, gpt2

U280 = load_device("u280")

BERT = bert(
    name="small", layers=2, hidden=64, heads=2, intermediate=128, max_positions=64, vocabulary=50, token_types=2,
    norm_eps=1e-12, activation="gelu",
)  # fmt: skip

GPT2 = gpt2(
    name="small", layers=1, hidden=32, heads=2, intermediate=64, max_positions=33, vocabulary=50, norm_eps=1e-5,
    activation="gelu_new",
)  # fmt: skip


@pytest.mark.parametrize(("tile", "whole"), [(2, 34), (4, 36), (8, 40)])
def test_positions_need_not_be_whole_tiles(tile: int, whole: int) -> None:
    decoder = plan(GPT2, U280, tile=tile)
    assert isinstance(decoder, DecoderSpec)
    assert (decoder.positions, decoder.max_length, decoder.embedding.positions) == (33, whole, 33)
    assert plan(BERT, U280, tile=tile, max_length=33).positions == 33


def test_a_share_of_the_device_makes_a_smaller_pipeline() -> None:
    whole, part = plan(BERT, U280), plan(BERT, U280, share=0.05)
    assert part.resources.dsp <= 0.05 * U280.resources.dsp < whole.resources.dsp
    assert prompt_cycles(part, 64, 2) > prompt_cycles(whole, 64, 2)
    assert (part.max_layers, part.hidden, part.positions) == (whole.max_layers, whole.hidden, whole.positions)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_is_above_0_and_at_most_1(share: float) -> None:
    with pytest.raises(InputError) as error:
        plan(BERT, U280, share=share)
    assert str(error.value) == f"share of the device must be above 0 and at most 1, not {share:g}"


def test_a_share_that_is_too_small() -> None:
    with pytest.raises(InputError) as error:
        plan(BERT, U280, share=0.001)
    text = "model 'small' on 0.001 of device 'u280' with tiles of 4 or 2: the smallest geometry does not fit: "
    assert str(error.value).startswith(text)
