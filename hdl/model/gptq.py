"""GPTQ (https://arxiv.org/abs/2210.17323): rounds a matrix's weights so that what changes little are its results.

Column by column: what rounding a column does to the results is made good, as far as the inputs are correlated, by the
columns that are still to come. The scales are fixed before, so columns may come in any order: those of the largest
inputs first.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["gptq"]

DAMPING = 0.01
"""Of the mean of the diagonal, added to it: so it can be inverted, and few texts do not mislead."""

BLOCK = 128
"""Columns whose errors are handed on among themselves before they all go to the others at once; for speed alone."""


def gptq(weight: np.ndarray, hessian: np.ndarray, rounded: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """The rounded weights [outputs, inputs], real values, of a matrix whose inputs x have the ``hessian``, the sum of
    x x^T [inputs, inputs]; ``rounded`` gives those of a column [outputs] by its index.
    """
    # float64, and a copy: columns that are still to come take in the errors.
    left, diagonal = np.array(weight, dtype=np.float64), np.diag(hessian)
    order = np.argsort(-diagonal, kind="stable")
    # Where no text had any input, the weight does not matter.
    damped = hessian + np.eye(len(hessian)) * (DAMPING * diagonal.mean() or 1)
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    # Row j of the upper factor is that of the inverse for the columns from j on, over the root of its diagonal.
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left, found = left[:, order], np.empty_like(left)
    for start in range(0, len(order), BLOCK):
        end = min(start + BLOCK, len(order))
        errors = np.empty((len(left), end - start))
        for column in range(start, end):
            found[:, column] = rounded(left[:, column], order[column])
            error = (left[:, column] - found[:, column]) / upper[column, column]
            left[:, column + 1 : end] -= np.outer(error, upper[column, column + 1 : end])
            errors[:, column - start] = error
        left[:, end:] -= errors @ upper[start:end, end:]
    return found[:, np.argsort(order)]
