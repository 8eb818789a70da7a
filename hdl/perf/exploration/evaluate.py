"""Batches of points: the figures of those that fit, their front, and what refused the others."""

from dataclasses import dataclass

import numpy as np

from .kind import Kind
from .pareto import pareto_front
from .points import CONSTRAINTS

__all__ = ["Evaluated", "costs", "evaluate"]


@dataclass(frozen=True)
class Evaluated:
    """Points of a kind: ``choices`` of those that fit, [points, axes], with their ``figures``, [points, `FIGURES`];
    which of them are their ``front``; how many each of `CONSTRAINTS` ``refused``, counted for the one that is missed by
    most."""

    choices: np.ndarray
    figures: np.ndarray
    front: np.ndarray
    refused: np.ndarray


def evaluate(kind: Kind, choices: np.ndarray) -> Evaluated:
    """The figures of points, [points, axes]."""
    fits, refused = kind.screened(choices).constrained()
    counted = np.bincount(refused[~fits], minlength=len(CONSTRAINTS))
    kept = choices[fits]
    figures = kind.screened(kept).figures()
    return Evaluated(kept, figures, pareto_front(costs(figures), kept), counted)


def costs(figures: np.ndarray) -> np.ndarray:
    """What a front is to make small, [points, objectives], of `FIGURES`: seconds to the first token, seconds a token
    (where there is one), seconds a token with all sequences in flight, DSPs, joules."""
    first, token, throughput, energy, dsp = figures.T[:5]
    times = [first, token] if token.any() else [first]
    return np.stack([*times, 1 / throughput, dsp, energy], axis=1)
