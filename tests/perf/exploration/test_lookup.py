"""Functions of whole numbers, asked of arrays."""

import numpy as np

from hdl.perf.exploration.lookup import looked_up


def test_each_pair_is_asked_for_once_and_answered_everywhere() -> None:
    asked = []

    def function(first: int, second: int) -> tuple[int, float]:
        asked.append((first, second))
        return first + 10 * second, first / 4

    first, second = np.array([[3, 0, 3], [7, 3, 7]]), np.array([[2, 0, 2], [1, 1, 1]])
    found = looked_up(function, first, second, like=(1, 1.0))
    assert found.shape == (2, 3, 2)
    assert (found == np.stack([first + 10 * second, first / 4], axis=-1)).all()
    assert sorted(asked) == sorted(set(zip(first.flat, second.flat, strict=True)))


def test_one_number_stands_for_all() -> None:
    assert (looked_up(max, np.array([1, 5, 2]), np.array(3), like=1) == [3, 5, 3]).all()


def test_of_nothing_nothing_is_asked() -> None:
    none = np.zeros((4, 0), dtype=np.int64)
    found = looked_up(divmod, none, none, like=(1, 1))  # which could not be divided
    assert (found.shape, found.dtype) == ((4, 0, 2), np.int64)
