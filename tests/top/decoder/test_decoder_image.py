"""The memory image of a decoder: every weight where the manifest says, of products of 8 bits and of 4."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from hdl.kernels.linear import LinearSpec
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.top.image import build_image

from .designs import MIXED, PACKED, TINY
from .simulations import model_of


def in_rams(unit: LinearSpec, number: int, channel: np.ndarray) -> np.ndarray:
    """The words of a channel's RAMs, int8 [words, rams, 8], out of a product's beats, uint8 [beats, 64]."""
    share = unit.shares[number]
    if share.bits == 4:
        assert unit.packing is not None
        (channel,) = unit.packing.unpack(channel[np.newaxis], share.rounds, unit.product_words[number])
    return channel.view(np.int8).reshape(unit.ram_words[number], -1, 8)[:, : unit.channel_rams]


def expected(unit: LinearSpec, number: int, index: int, weights: np.ndarray) -> np.ndarray:
    """What a channel's RAMs are to hold of a product's ``weights`` [outputs, inputs], written out place by place."""
    share, words = unit.shares[number], unit.product_words[number]
    own = ceil(unit.columns / unit.channels)
    found = np.zeros((unit.ram_words[number], own, unit.cascades, 8), dtype=np.int8)
    for place in range(share.rounds):
        for column in range(own):
            output = place * share.stride + share.first + unit.array.feature(index * own + column)
            if output < len(weights):
                row = weights[output].reshape(words, unit.cascades, 8)
                found[place * words : (place + 1) * words, column] = row
    return found.reshape(len(found), -1, 8)


@pytest.mark.parametrize(("rows", "padding"), [(2, 1), (4, 3), (8, 7)])
def test_every_position_has_a_row_and_no_place_of_padding(rows: int, padding: int) -> None:
    spec = replace(TINY, rows=rows, padding=padding)
    model, table = model_of(spec), spec.embedding
    parameters = build_image(model, spec).channels["parameters"][spec.embedding_base :]
    assert len(parameters) == (spec.vocabulary + 32 - padding) * table.row_beats
    found = parameters[spec.vocabulary * table.row_beats :].view("<i2").reshape(spec.positions, -1)[:, : spec.hidden]
    np.testing.assert_array_equal(found, model.tables["position"])


@pytest.mark.parametrize("spec", [MIXED, PACKED, TINY], ids=["mixed", "packed", "tiny"])
def test_every_weight_is_where_the_arrays_look_for_it(spec: DecoderSpec) -> None:
    model = model_of(spec)
    channels = build_image(model, spec).channels
    for name in spec.products:
        unit, products = spec.linear(name), [*enumerate(spec.shared_products, start=1)]
        order = [(0, name, layer) for layer in model.layers]
        order += [(number, product, layer) for layer in model.layers for number, product in products[:-1]]
        for index in range(unit.channels):
            left = channels[f"weights_{name}__{index}"]
            for number, product, weights in [
                *((number, product, layer.weights[product]) for number, product, layer in order),
                (*products[-1], model.head.weights["head"]),
            ]:
                beats = unit.product_beats(number)
                np.testing.assert_array_equal(
                    in_rams(unit, number, left[:beats]), expected(unit, number, index, weights), product
                )
                left = left[beats:]
            assert len(left) == 0


def test_products_take_the_beats_of_their_bits() -> None:
    for name in MIXED.products:
        mixed, packed, wide = (one.linear(name) for one in (MIXED, PACKED, TINY))
        if mixed.channels > 1:
            continue  # the others have a channel only
        for number, share in enumerate(mixed.shares):
            assert mixed.product_beats(number) == (packed if share.bits == 4 else wide).product_beats(number)


def test_a_model_of_other_bits_is_refused() -> None:
    with pytest.raises(ValueError) as error:
        build_image(model_of(TINY), MIXED)
    assert str(error.value) == (
        "model's weights must have the pipeline's 4 bits but 8 of head and projection, not 8 bits"
    )
