"""Pareto fronts: the points that no other beats in every objective."""

import numpy as np

__all__ = ["STEP", "nondominated", "pareto_front"]

STEP = 0.02
"""Objectives that differ by less are as good as each other: without it a front has thousands of points that no one
tells apart."""


def pareto_front(costs: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Which points, of ``costs`` [points, objectives] above 0 that are to be small, no other beats, in ascending order.

    Costs are compared in steps of `STEP`; of points within one step in all of them the one with the least costs stands
    for all, then that with the least row of ``ties`` [points, ...]. So the front of the fronts of parts is that of the
    whole.
    """
    if not len(costs):
        return np.zeros(0, dtype=np.int64)
    steps = np.floor(np.log(costs) / np.log1p(STEP)).astype(np.int64)
    keys = [*ties.T[::-1], *costs.T[::-1], *steps.T[::-1]]
    order = np.lexsort(keys)
    sorted_steps = steps[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (sorted_steps[1:] != sorted_steps[:-1]).any(axis=1)
    order = order[first]
    return np.sort(order[nondominated(steps[order])])


def nondominated(costs: np.ndarray) -> np.ndarray:
    """Which rows no other is below or equal to everywhere; rows are all different, and in lexicographic order."""
    left, kept = np.arange(len(costs)), []
    while len(left):
        # None behind the first can beat it, and it takes out all that it beats.
        best = left[0]
        kept.append(best)
        left = left[(costs[left] < costs[best]).any(axis=1)]
    return np.array(kept, dtype=np.int64)
