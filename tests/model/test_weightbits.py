"""Bits of weights by product: what they are said in, and what is refused."""

from collections.abc import Collection

import pytest

from hdl.errors import InputError
from hdl.model.weightbits import W4, W8, WeightBits

from .networks import SMALL_BERT, SMALL_GPT2

PRODUCTS = SMALL_GPT2.products


@pytest.mark.parametrize(
    ("bits", "int8", "found", "words"),
    [
        (8, (), (8, 8, 8, 8, 8), "8 bits"),
        (4, (), (4, 4, 4, 4, 4), "4 bits"),
        (4, ("head",), (4, 4, 4, 4, 8), "4 bits but 8 of head"),
        (4, ["qkv", "ffn2", "qkv"], (8, 4, 4, 8, 4), "4 bits but 8 of ffn2 and qkv"),
    ],
)
def test_bits_of_products(bits: int, int8: Collection[str], found: tuple[int, ...], words: str) -> None:
    made = WeightBits.of(bits, int8)
    made.check(PRODUCTS, causal=True)
    assert tuple(made[product] for product in PRODUCTS) == found
    assert str(made) == words
    assert made.packed == (bits == 4)


def test_the_same_for_all() -> None:
    assert (WeightBits.of(8), WeightBits.of(4)) == (W8, W4)


@pytest.mark.parametrize(
    ("bits", "int8", "message"),
    [
        (5, (), "weight-bits must be 8 or 4, not 5"),
        (5, ("head",), "weight-bits must be 8 or 4, not 5"),
        (4, ("head", "ffn3"), "int8 must be of qkv, projection, ffn1, ffn2, head, not 'ffn3'"),
        (8, ("head",), "int8 must go with weight-bits 4, not with 8, which is that of all products; leave it out"),
        (
            4, PRODUCTS,
            "int8 must leave a product its 4 bits, not name all of them; use weight-bits 8 instead",
        ),
    ],
)  # fmt: skip
def test_refusals(bits: int, int8: Collection[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        WeightBits.of(bits, int8).check(PRODUCTS, causal=True)
    assert str(error.value) == message


def test_an_encoder_has_8_bits() -> None:
    W8.check(SMALL_BERT.products, causal=False)
    with pytest.raises(InputError) as error:
        WeightBits.of(4, ("head",)).check(SMALL_BERT.products, causal=False)
    assert str(error.value) == "weight-bits of an encoder must be 8, not 4; only a decoder's may be less"
