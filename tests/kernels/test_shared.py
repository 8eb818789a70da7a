"""Arrays that share the columns of a product."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from hdl.kernels.arrayspec import ArraySpec
from hdl.kernels.shared import Product, SharedColumnsSpec, product_shares, weight_bytes

WIDE = ArraySpec(rows=4, columns=32, cascades=4, lanes=2, terms=4096, least_words=16, ram_depth=512)
DEEP = replace(WIDE, columns=24, cascades=2)
SHARED = SharedColumnsSpec(arrays=(WIDE, DEEP), block=8, max_inputs=3072)


@pytest.mark.parametrize(("inputs", "outputs"), [(768, 2304), (768, 768), (3072, 768), (64, 1), (100, 57)])
def test_arrays_work_in_rounds(inputs: int, outputs: int) -> None:
    slowest = max(ceil(inputs / array.depth) for array in SHARED.arrays)
    beats = 32 // 2 + 24 // 2
    assert SHARED.product_cycles(inputs, outputs) == ceil(outputs / (32 + 24)) * max(slowest, beats)
    assert SHARED.product_cycles(inputs, outputs, tiles=3) == 3 * SHARED.product_cycles(inputs, outputs)


def test_shares_cover_a_product_once() -> None:
    columns, product = (4, 2, 6), Product(3, 29)
    weights = np.arange(29 * 3).reshape(29, 3) + 1
    shares = [own for (own,) in product_shares(columns, (product,))]
    rounds = [share.cut(weights, count) for share, count in zip(shares, columns, strict=True)]
    joined = np.concatenate(rounds, axis=1).reshape(-1, 3)
    np.testing.assert_array_equal(joined[:29], weights)
    assert not joined[29:].any()
    assert len(joined) == 36


def test_one_array_alone() -> None:
    alone = replace(SHARED, arrays=(WIDE,))
    for inputs, outputs in ((768, 2304), (64, 1), (100, 57)):
        assert alone.product_cycles(inputs, outputs) == ceil(outputs / 32) * max(ceil(inputs / 32), 32 // 2)


def test_time_is_near_all_weights_over_those_a_cycle() -> None:
    """Where the arrays are of one depth, and their sums leave in less than a pass."""
    alike = replace(SHARED, arrays=tuple(replace(WIDE, lanes=4, columns=columns) for columns in (32, 24)))
    least = 768 * 3072 / alike.weights
    assert least <= alike.product_cycles(768, 3072) < 1.1 * least


def test_long_contractions_are_cut() -> None:
    parts = ceil(11008 / 4096)
    assert SHARED.product_cycles(11008, 4096) >= 11008 * 4096 / SHARED.weights
    assert SHARED.product_cycles(11008, 4096) < 1.1 * parts * SHARED.product_cycles(ceil(11008 / parts), 4096)


def test_weights_pass_once_a_block() -> None:
    assert [SHARED.readings(tiles) for tiles in (1, 8, 9, 17)] == [1, 1, 2, 3]


def test_the_buffer_holds_two_blocks() -> None:
    found = SHARED.buffer_resources
    bits = 2 * 8 * 4 * 3072 * 8
    assert max(found.bram36 * 36 * 1024, found.uram * 72 * 4096) >= bits


def test_bytes_of_weights() -> None:
    assert weight_bytes(640, 8) == 640
    assert weight_bytes(640, 4) == 640 / 2 + 640 / 64 / 2
    with pytest.raises(ValueError) as error:
        weight_bytes(1, 3)
    assert str(error.value) == "weights must have 4 or 8 bits, not 3"


def test_impossible_specs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^shared arrays must be of the same rows, not \[4, 2\]$"):
        replace(SHARED, arrays=(WIDE, replace(WIDE, rows=2)))
    with pytest.raises(ValueError, match="^shared arrays must hold a block of at least 1 tile, not 0$"):
        replace(SHARED, block=0)
