"""Design-space exploration: the Pareto front of a network's designs on a device.

from hdl.perf import explore
found = explore("bert-base", "u280", points=200_000, prompt=128, out=Path("build/explore"))
found.front[0].point.spec, found.front[0].figures["first_token"], found.refused

Points are drawn in batches, each from the seed and its own number, and their figures looked up (`evaluate`); the front
is found of all of them (`pareto`). Only its points are built as designs and estimated in full: an encoder's run tile by
tile, the SLRs' budget and their crossings. What that refuses drops out, and is not replaced by what it had beaten.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...model.network import Network, load_network
from ..constraints import STREAM_SHARE, binding
from ..device import Device, load_device
from ..estimate import checked_output, estimate_design
from .copies import energy_proxy, flight
from .evaluate import CONSTRAINTS, FIGURES, Evaluated, costs, evaluate
from .pareto import pareto_front
from .schedule import run
from .space import Point, Space
from .store import Store, content_hash

__all__ = ["BATCH", "Candidate", "Exploration", "explore"]

BATCH = 8192
"""Points that are drawn and evaluated at once: some hundredths of a second of work, and some megabytes."""

CHECKED_AT_ONCE = 8

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is finished, and how much there is."""


@dataclass(frozen=True)
class Candidate:
    """A point with its figures, by the names of `FIGURES`."""

    point: Point
    figures: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON; `Point.from_dict` reads it."""
        return self.point.as_dict() | {"figures": self.figures}


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What an exploration found.

    ``feasible`` of the ``points`` meet all constraints but those of SLRs; the others were ``refused``, counted by the
    constraint that is missed by most. ``dropped``: points of the front that the full estimate refused, likewise. The
    ``front`` is in the order of the first token. ``rate``: points a second on one core, of those ``evaluated`` now.
    """

    space: Space
    seed: int
    points: int
    feasible: int
    refused: dict[str, int]
    dropped: dict[str, int]
    front: tuple[Candidate, ...]
    evaluated: int
    rate: float
    batches: tuple[Evaluated, ...] = field(repr=False)


def explore(
    network: str | Network,
    device: str | Device,
    *,
    points: int = 200_000,
    seed: int = 0,
    prompt: int = 128,
    output: int | None = None,
    out: Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda doing, finished, of: None,
) -> Exploration:
    """Draws ``points`` designs of ``network`` on ``device`` and finds their Pareto front. The same seed gives the same,
    wherever it runs.

    Args:
        network: a network, the name of a built-in one, or the path of a `config.json`.
        device: a device, or the name of a built-in one.
        prompt: tokens that are given.
        output: tokens that are generated; 64 where not given, none by an encoder.
        out: a folder for finished batches, from which a run that was ended goes on.
        jobs: processes; -1 for one on each core.
        scheduler: the address of a Dask scheduler, whose workers evaluate instead.

    Raises:
        InputError: for what is out of range or unknown, a network without a geometry on chip, a folder of something
            else or that cannot be written, and a scheduler that cannot be reached.
    """
    shape = load_network(network) if isinstance(network, str) else network
    board = load_device(device) if isinstance(device, str) else device
    tokens = checked_output(shape, board, prompt, output, sequences=1, weight_bits=8)
    for name, value, least in (("points", points, 1), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, not {value}")
    if jobs < 1 and jobs != -1:
        raise InputError(f"jobs must be at least 1, or -1 for one on each core, not {jobs}")
    space = Space(network=shape, device=board, prompt=prompt, output=tokens)
    progress("asking the specs", 0, 1)
    counts = [min(BATCH, points - start) for start in range(0, points, BATCH)]
    store = Store(out, {"space": content_hash(space), "seed": seed, "points": points, "batches": len(counts)})
    place: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler}

    left = [(seed, number, counts[number]) for number in range(len(counts)) if number not in store.batches]
    seconds = 0.0
    for turn, (batch, taken) in run(run_batch, space, left, **place):
        store.add(left[turn][1], batch)
        seconds += taken
        progress("evaluating", len(store.batches), len(counts))
    batches = tuple(store.batches[number] for number in range(len(counts)))

    candidates = merged(batches)
    parts = [candidates[start : start + CHECKED_AT_ONCE] for start in range(0, len(candidates), CHECKED_AT_ONCE)]
    checked: dict[int, list[Any]] = {}
    for turn, found in run(check, space, parts, **place):
        checked[turn] = found
        progress("estimating the front", len(checked), len(parts))
    estimated = [one for turn in range(len(parts)) for one in checked[turn]]
    evaluated = sum(count for _, _, count in left)
    return Exploration(
        space=space, seed=seed, points=points, feasible=sum(len(batch.choices) for batch in batches),
        refused=dict(zip(CONSTRAINTS, np.sum([batch.refused for batch in batches], axis=0).tolist(), strict=True)),
        dropped=tally(one for one in estimated if isinstance(one, str)),
        front=final(space, candidates, estimated), evaluated=evaluated, rate=evaluated / seconds if seconds else 0.0,
        batches=batches,
    )  # fmt: skip


def run_batch(space: Space, argument: tuple[int, int, int]) -> tuple[Evaluated, float]:
    """A batch by its seed, number and count, with the seconds that it took."""
    _ = space.tables
    start = time.perf_counter()
    found = evaluate(space, space.draw(*argument))
    return found, time.perf_counter() - start


def merged(batches: tuple[Evaluated, ...]) -> np.ndarray:
    """The choices of the front of all batches."""
    choices = np.concatenate([batch.choices[batch.front] for batch in batches])
    figures = np.concatenate([batch.figures[batch.front] for batch in batches])
    return np.asarray(choices[pareto_front(costs(figures), choices)]) if len(choices) else choices


def check(space: Space, choices: np.ndarray) -> list[np.ndarray | str]:
    """For each choice the figures of its design, estimated in full, or the constraint that refuses it."""
    return [check_one(space, choice) for choice in choices]


def check_one(space: Space, choice: np.ndarray) -> np.ndarray | str:
    """`check` of one choice."""
    point, device, network = space.point(choice), space.device, space.network
    design, together = point.design, flight(point.spec, point.copies)

    def estimated(sequences: int) -> Any:
        return estimate_design(
            design, device, prompt=space.prompt, output=space.output, sequences=sequences, clock_mhz=point.clock_mhz
        )

    one = estimated(1)
    missed = binding(one.constraints)
    if missed is not None:
        return missed.name
    first = one.first_token.seconds
    token, cycles = (one.token.seconds, one.decode.cycles) if one.token is not None and one.decode else (0.0, 0)
    if one.token is not None:
        throughput = estimated(together).tokens_a_second
    else:
        # Every copy has a sequence of its own, and all of them share the memory.
        clock = point.clock_mhz * 1e6
        bandwidth = STREAM_SHARE * (device.memory.bandwidth_gb_s * 1e9) / clock
        turn = max(one.prefill.cycles, point.copies * one.prefill.bytes / bandwidth) / clock
        throughput = point.copies * space.prompt / turn
    seconds = first + max(space.output - 1, 0) * token
    energy = energy_proxy(device, network, list(design.resources), point.clock_mhz, seconds)
    return np.array([first, token, throughput, energy, *design.resources, one.prefill.cycles, cycles], dtype=float)


def final(space: Space, choices: np.ndarray, estimated: list[Any]) -> tuple[Candidate, ...]:
    """The front of the candidates that are left, by their full estimates."""
    kept = [place for place, one in enumerate(estimated) if not isinstance(one, str)]
    if not kept:
        return ()
    figures, left = np.stack([estimated[place] for place in kept]), choices[kept]
    front = pareto_front(costs(figures), left)
    order = front[np.lexsort([*left[front].T[::-1], figures[front, FIGURES.index("dsp")], figures[front, 0]])]
    return tuple(
        Candidate(space.point(left[place]), dict(zip(FIGURES, figures[place].tolist(), strict=True))) for place in order
    )


def tally(names: Any) -> dict[str, int]:
    """How often each name comes, in the order of their first coming."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found
