"""Design-space exploration: the Pareto front of a network's designs on a device.

from hdl.perf import explore
found = explore("bert-base", "u280", points=200_000, prompt=128, out=Path("build/explore"))
found.front[0].point.spec, found.front[0].figures["first_token_s"], found.total.refused

Points of each kind of design are drawn in batches, each from the seed and its own number, and their figures looked up
(`evaluate`); one front is found of all of them (`pareto`). Only its points are built as designs and estimated in full
(`front`): an encoder's run tile by tile, the SLRs' budget and their crossings. What that refuses drops out, and is not
replaced by what it had beaten.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...bounds import JOBS, POINTS, SEED
from ...model.load import load_network
from ...model.network import Network
from ..device import Device, load_device
from ..estimate import check_device
from ..workload import Workload
from .evaluate import Evaluated, evaluate
from .front import FrontPoint, check, final, merged
from .points import CONSTRAINTS
from .schedule import run
from .space import Batch, Space
from .store import BatchStore, content_hash

__all__ = ["BATCH", "Counts", "Exploration", "FrontPoint", "explore"]

BATCH = 8192
"""Points that are drawn and evaluated at once: some hundredths of a second of work, and some megabytes."""

CHECKED_AT_ONCE = 8

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is finished, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """``feasible`` of so many ``points`` meet all constraints but those of SLRs; the others were ``refused``, counted
    by the constraint that is missed by most. ``dropped``: points of the front that the full estimate refused,
    likewise."""

    points: int
    feasible: int
    refused: dict[str, int]
    dropped: dict[str, int]

    @classmethod
    def total(cls, every: Iterable["Counts"]) -> "Counts":
        """The sum of several."""
        parts = list(every)
        refused, dropped = (
            dict(sum((Counter(getattr(one, name)) for one in parts), Counter())) for name in ("refused", "dropped")
        )
        return cls(
            points=sum(one.points for one in parts), feasible=sum(one.feasible for one in parts),
            refused=dict.fromkeys(CONSTRAINTS, 0) | refused, dropped=dropped,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What an exploration found: the ``counts`` and the evaluated ``batches`` of every kind, by its name; the ``front``
    of all kinds together, in the order of the first token. ``rate``: points a second on one core, of those
    ``evaluated`` now."""

    space: Space
    seed: int
    counts: dict[str, Counts]
    front: tuple[FrontPoint, ...]
    evaluated: int
    rate: float
    batches: dict[str, tuple[Evaluated, ...]] = field(repr=False)

    @property
    def total(self) -> Counts:
        """The counts of all kinds together."""
        return Counts.total(self.counts.values())


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
    force: bool = False,
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
        force: start over where ``out`` holds another exploration.

    Raises:
        InputError: for what is out of range or unknown, a network that has no design, a folder of something
            else or that cannot be written, and a scheduler that cannot be reached.
    """
    shape = load_network(network) if isinstance(network, str) else network
    board = load_device(device) if isinstance(device, str) else device
    check_device(board)
    tokens = Workload.of(shape, prompt=prompt, output=output).output
    POINTS.check(points)
    SEED.check(seed)
    if jobs != -1:
        JOBS.check(jobs)
    space = Space(network=shape, device=board, prompt=prompt, output=tokens)
    progress("asking the specs", 0, 1)
    plan = space.batches(points, BATCH)
    store = BatchStore(
        out, {"space": content_hash(space), "seed": seed, "points": points, "batches": len(plan)}, force=force
    )
    place: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler}

    left = [(seed, batch) for batch in plan if batch[1] not in store.batches]
    seconds = 0.0
    for turn, (batch, taken) in run(run_batch, space, left, **place):
        store.add(left[turn][1][1], batch)
        seconds += taken
        progress("evaluating", len(store.batches), len(plan))
    done = [(kind, store.batches[number]) for kind, number, _ in plan]

    candidates = merged(done)
    parts = [candidates[start : start + CHECKED_AT_ONCE] for start in range(0, len(candidates), CHECKED_AT_ONCE)]
    checked: dict[int, list[Any]] = {}
    for turn, found in run(check, space, parts, **place):
        checked[turn] = found
        progress("estimating the front", len(checked), len(parts))
    estimated = [one for turn in range(len(parts)) for one in checked[turn]]
    batches = [tuple(batch for own, batch in done if own == kind) for kind in range(len(space.kinds))]
    counts = [
        counted(
            sum(count for own, _, count in plan if own == kind), batches[kind],
            [one for (own, _), one in zip(candidates, estimated, strict=True) if own == kind and isinstance(one, str)],
        )
        for kind in range(len(space.kinds))
    ]  # fmt: skip
    evaluated = sum(count for _, (_, _, count) in left)
    names = [kind.name for kind in space.kinds]
    return Exploration(
        space=space, seed=seed, counts=dict(zip(names, counts, strict=True)), evaluated=evaluated,
        front=final(space, candidates, estimated), rate=evaluated / seconds if seconds else 0.0,
        batches=dict(zip(names, batches, strict=True)),
    )  # fmt: skip


def run_batch(space: Space, argument: tuple[int, Batch]) -> tuple[Evaluated, float]:
    """A batch by its seed and what it is, with the seconds that it took."""
    seed, (place, number, count) = argument
    kind = space.kinds[place]
    start = time.perf_counter()
    found = evaluate(kind, kind.draw(seed, number, count))
    return found, time.perf_counter() - start


def counted(points: int, batches: Sequence[Evaluated], dropped: Iterable[str]) -> Counts:
    """The counts of a kind, with the names of the constraints that refuse points of the front."""
    refused = np.sum([batch.refused for batch in batches], axis=0, dtype=int) if batches else [0] * len(CONSTRAINTS)
    return Counts(
        points=points, feasible=sum(len(batch.choices) for batch in batches),
        refused=dict(zip(CONSTRAINTS, map(int, refused), strict=True)), dropped=dict(Counter(dropped)),
    )  # fmt: skip
