"""GPTQ is the published algorithm, and its results are nearer than those of rounding to the nearest."""

import numpy as np
import pytest

from hdl.model.gptq import BLOCK, DAMPING, gptq

STEP = 0.25


def to_grid(values: np.ndarray, _: int = 0) -> np.ndarray:
    return np.clip(np.rint(values / STEP), -8, 7) * STEP


def case(outputs: int, inputs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and the rows of correlated inputs."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(inputs, inputs)) / np.sqrt(inputs) + np.eye(inputs)
    return generator.normal(size=(outputs, inputs)) * 0.6, generator.normal(size=(4 * inputs, inputs)) @ mixing


def optimal_brain_quantisation(weight: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Equations 2 and 3 of the paper, a column at a time, with the inverse freed of each by elimination (its Cholesky
    form is what is to be tested)."""
    diagonal = np.diag(hessian)
    inverse = np.linalg.inv(hessian + DAMPING * diagonal.mean() * np.eye(len(diagonal)))
    left, found = weight.copy(), np.zeros_like(weight)
    for column in np.argsort(-diagonal, kind="stable"):
        found[:, column] = to_grid(left[:, column])
        error = (left[:, column] - found[:, column]) / inverse[column, column]
        left -= np.outer(error, inverse[column])
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return found


@pytest.mark.parametrize("inputs", [1, 7, BLOCK, BLOCK + 1, 300])
def test_the_published_algorithm(inputs: int) -> None:
    weight, rows = case(5, inputs, seed=inputs)
    hessian = rows.T @ rows
    np.testing.assert_array_equal(gptq(weight, hessian, to_grid), optimal_brain_quantisation(weight, hessian))


def test_results_are_nearer_than_of_the_nearest_weights() -> None:
    weight, rows = case(16, 64, seed=1)
    found, nearest = gptq(weight, rows.T @ rows, to_grid), to_grid(weight)
    error, of_nearest = (np.linalg.norm(rows @ (rounded - weight).T) for rounded in (found, nearest))
    assert error < 0.8 * of_nearest
    assert np.linalg.norm(found - weight) > np.linalg.norm(nearest - weight)


def test_no_better_result_with_one_weight_moved_by_a_step_is_overlooked_often() -> None:
    weight, rows = case(40, 6, seed=3)
    hessian = rows.T @ rows
    found = gptq(weight, hessian, to_grid)

    def errors(rounded: np.ndarray) -> np.ndarray:
        return np.einsum("oi,ij,oj->o", rounded - weight, hessian, rounded - weight)

    base, better = errors(found), np.zeros(40, dtype=bool)
    for column in range(6):
        for step in (-STEP, STEP):
            moved = found.copy()
            moved[:, column] += step
            better |= errors(to_grid(moved)) < base
    assert better.mean() < 0.5


def test_independent_inputs_leave_nothing_to_make_good() -> None:
    weight, _ = case(5, 20, seed=2)
    hessian = np.diag(np.linspace(1, 3, 20))
    np.testing.assert_array_equal(gptq(weight, hessian, to_grid), to_grid(weight))


def test_inputs_that_are_always_0() -> None:
    weight, rows = case(5, 20, seed=4)
    rows[:, [3, 8]] = 0
    found = gptq(weight, rows.T @ rows, to_grid)
    np.testing.assert_array_equal(found[:, [3, 8]], to_grid(weight[:, [3, 8]]))
    np.testing.assert_array_equal(gptq(weight, np.zeros((20, 20)), to_grid), to_grid(weight))


def test_columns_are_told_their_index() -> None:
    weight, rows = case(2, 10, seed=5)
    seen: list[int] = []

    def rounded(values: np.ndarray, index: int) -> np.ndarray:
        seen.append(index)
        return np.full_like(values, index)

    found = gptq(weight, rows.T @ rows, rounded)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(10), (2, 10)))
    assert seen == np.argsort(-np.diag(rows.T @ rows)).tolist()
