"""Perplexity is its definition's."""

from collections.abc import Sequence

import numpy as np
import pytest

from hdl.model.perplexity import compare, perplexity, windows


def test_windows_are_consecutive_and_whole() -> None:
    assert windows(range(10), 3) == [range(3), range(3, 6), range(6, 9)]
    assert windows([1, 2], 3) == []


def test_a_model_that_knows_nothing_is_as_perplexed_as_the_vocabulary_is_large() -> None:
    assert perplexity(lambda ids: np.full((len(ids), 50), 7.0), [[1, 2, 3], [4, 5]]) == pytest.approx(50)


def test_the_mean_is_over_all_tokens_that_were_predicted() -> None:
    seen = []

    def logits(ids: Sequence[int]) -> np.ndarray:
        seen.append(list(ids))
        # A shift of all logits changes nothing, however large; token 1 has probability 0.8.
        return np.log([[0.2, 0.8]] * len(ids)) + 3000

    found = perplexity(logits, [[0, 1, 1, 0], [1, 1]])
    assert found == pytest.approx(np.exp(-(3 * np.log(0.8) + np.log(0.2)) / 4))
    assert seen == [[0, 1, 1], [1]]


def test_predictions_beside_those_of_a_reference() -> None:
    expected, other = np.array([[0.5, 0.3, 0.2]]), np.array([[0.25, 0.5, 0.25]])

    def logits(probabilities: np.ndarray, shift: float) -> np.ndarray:
        return np.log(np.repeat(probabilities, 3, axis=0)) + shift

    found = compare(lambda ids: logits(expected, 3), {"a": lambda ids: logits(other, -9)}, [[0, 0, 1, 1]])
    assert found[""].divergence == 0
    assert found[""].agreement == 1
    assert found["a"].perplexity == pytest.approx((0.25 * 0.5 * 0.5) ** (-1 / 3))
    assert found["a"].divergence == pytest.approx((expected * np.log(expected / other)).sum())
    assert found["a"].agreement == 0
