"""The arithmetic of resources, and the tiling of RAMs."""

import pytest

from hdl.ram import Ram
from hdl.resources import Resources, ram_blocks

from .synthesis import synthesise


def test_resources_add_and_scale() -> None:
    one = Resources(dsp=1, bram36=0.5, uram=2, lut=30, ff=40)
    assert one + Resources(lut=1) == Resources(dsp=1, bram36=0.5, uram=2, lut=31, ff=40)
    assert 2 * one == one * 2 == one + one
    assert sum([one, one], Resources()) == 2 * one
    assert list(one) == [1, 0.5, 2, 30, 40]


@pytest.mark.parametrize(
    ("width", "depth", "uram"), [(72, 4096, 1), (64, 4096, 1), (73, 4096, 2), (72, 4097, 2), (64, 98304, 24)]
)
def test_ultra_rams_are_72_bits_of_4096_words(width: int, depth: int, uram: int) -> None:
    assert ram_blocks(width, depth, "ultra") == Resources(uram=uram)


@pytest.mark.parametrize(
    ("width", "depth", "bram36"),
    [
        (72, 512, 1),
        (36, 1024, 1),
        (36, 512, 0.5),
        (18, 1024, 0.5),
        (8, 4096, 1),
        (64, 768, 2),
        (68, 844, 2),
        (64, 1536, 3),
        (34, 1536, 1.5),
        (128, 300, 2),
    ],
)
def test_block_rams_take_the_best_shape(width: int, depth: int, bram36: float) -> None:
    assert ram_blocks(width, depth, "block") == Resources(bram36=bram36)


@pytest.mark.parametrize(
    ("width", "depth", "lut"),
    [(14, 32, 8), (16, 32, 16), (7, 64, 8), (64, 64, 80), (64, 100, 160 + 64), (30, 300, 200 + 2 * 30)],
)
def test_distributed_rams_take_eight_luts_each(width: int, depth: int, lut: int) -> None:
    assert ram_blocks(width, depth, "distributed") == Resources(lut=lut)


def test_synthesis_agrees() -> None:
    rams = [(36, 512, "block"), (128, 300, "block"), (72, 4096, "ultra"), (64, 64, "distributed")]
    for ram, found in zip(rams, synthesise(*(Ram(*ram) for ram in rams)), strict=True):
        estimate = ram_blocks(*ram)
        assert (estimate.bram36, estimate.uram, estimate.lut) == (found.bram36, found.uram, found.lut), ram


def test_unknown_styles_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        ram_blocks(8, 8, "auto")
    assert str(error.value) == "RAM style must be ultra, block or distributed, not 'auto'"
