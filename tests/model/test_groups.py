"""Weights of 4 bits in groups: their integers, their factors, and what is no such weight."""

import numpy as np
import pytest

from hdl.kernels.shared import GROUP
from hdl.model.groups import FORMATS, group_of, group_scales, nearest, nibbles


def test_groups_are_consecutive_inputs() -> None:
    assert group_of(130).tolist() == [0] * GROUP + [1] * GROUP + [2] * 2


def test_integers_of_4_bits_are_the_nearest() -> None:
    found = nearest(np.array([-9.0, -8.4, -0.6, 0.4, 6.6, 7.9]) * 0.5, np.float64(0.5), FORMATS[4])
    assert found.tolist() == [-8, -8, -1, 0, 7, 7]


def spread(factors: np.ndarray, inputs: int) -> np.ndarray:
    return factors[:, group_of(inputs)].astype(np.int64)


def test_weights_on_a_grid_are_found_exactly() -> None:
    generator = np.random.default_rng(1)
    integers = generator.integers(-7, 8, (6, 150))
    integers[:, :: GROUP // 2] = 7  # so that only this grid holds them
    factors = np.array([[15, 3, 7]] * 6)
    weight = 0.01 * integers * spread(factors, 150)
    scales, found = group_scales(weight, np.ones(150), FORMATS[4])
    np.testing.assert_allclose(scales, 0.01)
    np.testing.assert_array_equal(found, factors)
    assert found.dtype == np.uint8


def test_important_inputs_are_rounded_better() -> None:
    weight = np.random.default_rng(2).normal(size=(50, GROUP))
    weight[:, 0] *= 6
    importance = np.ones(GROUP)

    def error(importance: np.ndarray) -> float:
        scales, factors = group_scales(weight, importance, FORMATS[4])
        step = scales[:, None] * spread(factors, GROUP)
        return float(((weight - nearest(weight, step, FORMATS[4]) * step)[:, 0] ** 2).mean())

    important = importance.copy()
    important[0] = 1000
    assert error(important) < 0.1 * error(importance)


def test_no_scale_is_below_the_least() -> None:
    weight = np.random.default_rng(3).normal(size=(4, 70))
    least = np.array([0.0, 1e-9, 0.5, 0.02])
    free, _ = group_scales(weight, np.ones(70), FORMATS[4])
    bound, _ = group_scales(weight, np.ones(70), FORMATS[4], least)
    assert (bound >= least).all()
    np.testing.assert_array_equal(bound[:2], free[:2])


def test_outputs_of_zeros_have_scale_0() -> None:
    weight = np.zeros((2, 70))
    weight[1, 5] = 1
    scales, factors = group_scales(weight, np.ones(70), FORMATS[4])
    assert scales[0] == 0
    assert scales[1] > 0
    assert factors.min() >= 1


def test_nibbles_are_what_was_multiplied() -> None:
    generator = np.random.default_rng(4)
    integers, factors = generator.integers(-8, 8, (5, 150)), generator.integers(1, 16, (5, 3)).astype(np.uint8)
    weight = integers * spread(factors, 150)
    assert np.abs(weight).max() <= 120
    found = nibbles(weight.astype(np.int8), factors)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, integers)


@pytest.mark.parametrize("wrong", [1, 24])
def test_weights_that_are_no_multiples(wrong: int) -> None:
    with pytest.raises(ValueError) as error:
        nibbles(np.array([[3, wrong]], dtype=np.int8), np.array([[3]], dtype=np.uint8))
    assert str(error.value) == "weights must be -8..7 times their group's factor"
