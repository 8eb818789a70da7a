"""Hadamard matrices and the fast transform."""

import numpy as np
import pytest

from hdl.model.hadamard import hadamard, rotation, spread, spread_block


@pytest.mark.parametrize("order", [1, 2, 4, 12, 20, 28, 48, 64, 576, 896, 960])
def test_rows_are_orthogonal_and_flat(order: int) -> None:
    found = hadamard(order)
    assert found is not None
    assert (np.abs(found) == 1).all()
    np.testing.assert_array_equal(found @ found.T, order * np.eye(order))


def test_orders_that_no_product_has() -> None:
    assert [hadamard(order) for order in (3, 6, 36, 44, 60)] == [None] * 5


@pytest.mark.parametrize("features", [48, 60, 7])
def test_rotations_are_orthogonal_and_always_the_same(features: int) -> None:
    found = rotation(features)
    np.testing.assert_allclose(found @ found.T, np.eye(features), atol=1e-12)
    np.testing.assert_array_equal(found, rotation(features))


@pytest.mark.parametrize("block", [1, 2, 64, 128])
def test_fast_transform_is_the_matrix_block_by_block(block: int) -> None:
    rows, matrix = np.random.default_rng(1).integers(-9, 9, (3, 256)), hadamard(block)
    assert matrix is not None
    np.testing.assert_array_equal(spread(rows, block).reshape(3, -1, block), rows.reshape(3, -1, block) @ matrix)


def test_blocks_divide_the_features() -> None:
    assert [spread_block(features) for features in (1536, 5632, 11008, 56, 7)] == [128, 128, 256 // 2, 8, 1]
