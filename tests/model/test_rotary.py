"""The angles of rotary positions against their definitions."""

from math import cos, pi, sin

import numpy as np

from hdl.model.rotary import Angles, neighbours, turn


def test_pairs_turn_by_their_own_angles() -> None:
    angles, size = Angles(100.0), 8
    x = np.random.default_rng(1).standard_normal((3, 2 * size))
    found = turn(x, *angles.table(5, 3, size))
    for row, position in enumerate((5, 6, 7)):
        for head in range(2):
            for pair in range(size // 2):
                angle = position * 100.0 ** (-2 * pair / size)
                at = head * size + 2 * pair
                a, b = x[row, at], x[row, at + 1]
                expected = a * cos(angle) - b * sin(angle), b * cos(angle) + a * sin(angle)
                np.testing.assert_allclose(found[row, at : at + 2], expected)


def test_products_depend_on_distances_alone() -> None:
    query, key = np.random.default_rng(2).standard_normal((2, 1, 16))
    angles = Angles(10000.0)
    at = [float(np.sum(turn(query, *angles.table(i, 1, 16)) * turn(key, *angles.table(i - 3, 1, 16)))) for i in (3, 40)]
    np.testing.assert_allclose(*at)


def test_scalings() -> None:
    plain = Angles(10000.0).frequencies(64)
    np.testing.assert_allclose(Angles(10000.0, 4.0).frequencies(64), plain / 4)
    found = Angles(10000.0, 8.0, 1.0, 4.0, 8192).frequencies(64)
    turns = 8192 * plain / (2 * pi)
    np.testing.assert_allclose(found[turns > 4], plain[turns > 4])
    np.testing.assert_allclose(found[turns < 1], plain[turns < 1] / 8)
    between = (turns > 1) & (turns < 4)
    assert between.any()
    assert ((found < plain) & (found > plain / 8))[between].all()


def test_order_of_pairs_that_were_half_a_head_apart() -> None:
    assert neighbours(6).tolist() == [0, 3, 1, 4, 2, 5]
