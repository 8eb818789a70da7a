"""The front of all batches: its points are built as designs and estimated in full."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..designs.constraints import binding
from ..estimate import estimate_design
from ..workload import Workload
from .energy import energy_proxy
from .evaluate import Evaluated, costs
from .pareto import pareto_front
from .point import DesignPoint
from .points import FIGURES
from .space import Space

__all__ = ["Choice", "FrontPoint", "check", "final", "merged"]

Choice = tuple[int, np.ndarray]
"""A point: the place of its kind in the space, and its choice there."""


@dataclass(frozen=True)
class FrontPoint:
    """A point with its figures, by the names of `FIGURES`."""

    point: DesignPoint
    figures: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON; `DesignPoint.from_dict` reads it."""
        return self.point.as_dict() | {"figures": self.figures}


def merged(batches: Sequence[tuple[int, Evaluated]]) -> list[Choice]:
    """The front of all batches, each with the place of its kind."""
    choices = [(kind, choice) for kind, batch in batches for choice in batch.choices[batch.front]]
    figures = np.concatenate([batch.figures[batch.front] for _, batch in batches])
    return [choices[place] for place in front_of(figures)]


def front_of(figures: np.ndarray) -> np.ndarray:
    """Which of the figures are their front; of points alike the first."""
    if not len(figures):
        return np.zeros(0, dtype=np.int64)
    return pareto_front(costs(figures), np.arange(len(figures))[:, None])


def check(space: Space, choices: Iterable[Choice]) -> list[np.ndarray | str]:
    """For each choice the figures of its design, estimated in full, or the constraint that refuses it."""
    return [figures_of(space, space.kinds[kind].point(choice)) for kind, choice in choices]


def figures_of(space: Space, point: DesignPoint) -> np.ndarray | str:
    """`check` of a point."""
    design, device, network = point.design, space.device, space.network

    def estimated(sequences: int) -> Any:
        work = Workload(
            prompt=space.prompt, output=space.output, sequences=sequences, held=sequences, clock_mhz=point.clock_mhz
        )
        return estimate_design(design, device, work)

    one = estimated(1)
    missed = binding(one.constraints)
    if missed is not None:
        return missed.name
    first = one.first_token.seconds
    token, cycles = (one.token.seconds, one.decode.cycles) if one.token is not None and one.decode else (0.0, 0)
    if one.token is not None:
        throughput = estimated(point.flight).tokens_a_second
    else:
        # Every copy has a sequence of its own, and all of them share the memory.
        given = one.device.sustained(design.bandwidth(device.memory))
        turn = max(one.prefill.cycles, point.copies * one.prefill.bytes / given) / (point.clock_mhz * 1e6)
        throughput = point.copies * space.prompt / turn
    seconds = first + max(space.output - 1, 0) * token
    energy = energy_proxy(device, network, list(design.resources), point.clock_mhz, seconds)
    return np.array([first, token, throughput, energy, *design.resources, one.prefill.cycles, cycles], dtype=float)


def named(figures: np.ndarray) -> dict[str, float]:
    """Figures by their names, whole numbers as such."""
    values = (int(value) if value.is_integer() else value for value in figures.tolist())
    return dict(zip(FIGURES, values, strict=True))


def final(space: Space, choices: Sequence[Choice], estimated: Sequence[np.ndarray | str]) -> tuple[FrontPoint, ...]:
    """The front of the candidates that are left, by their full estimates, in the order of the first token."""
    kept = [(choice, one) for choice, one in zip(choices, estimated, strict=True) if not isinstance(one, str)]
    if not kept:
        return ()
    figures = np.stack([one for _, one in kept])
    front = front_of(figures)
    order = front[np.lexsort([front, figures[front, FIGURES.index("dsp")], figures[front, 0]])]
    return tuple(
        FrontPoint(space.kinds[kind].point(choice), named(own))
        for (kind, choice), own in (kept[place] for place in order)
    )
