"""The limits that a mapped design must keep to close timing at 300 MHz, and the failures to keep them.

A list of known failures is a JSON file: by design, by kind of module and by limit, the greatest figure. `changes`
compares it with the failures of today.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .timing import ModuleTiming

__all__ = [
    "CLOCK_MHZ",
    "LIMITS",
    "READY_TO_READY",
    "THROUGH",
    "Failure",
    "changes",
    "failures",
    "known",
    "worst",
    "write",
]

CLOCK_MHZ = 300

LEVELS, LOADS, ENABLES = "LUT levels", "loads of a net", "clock enables of a net"
THROUGH, READY_TO_READY = "paths from port to port", "paths from ready to ready"

LIMITS = {LEVELS: 5, LOADS: 128, ENABLES: 256, THROUGH: 0, READY_TO_READY: 0}
"""The greatest figures. Five LUTs of 0.15 ns with nets of about 0.45 ns take 3.3 ns, the period at 300 MHz. More than
128 loads lie too far apart for one driver; resets are loads, clocks and enables are not. Flip-flops of a slice share
the pin of their enable, so 256 of them are 32 pins or more. No logic may connect a port of a module to another port."""

Figures = Mapping[str, Mapping[str, int]]
"""The figures that exceed a limit, by kind of module and by limit."""


class Failure(NamedTuple):
    """One figure that exceeds its limit: in which module, which limit, the figure, and where it was found."""

    module: str
    limit: str
    value: int
    where: str


def failures(timing: Mapping[str, ModuleTiming]) -> Iterator[Failure]:
    """The figures of each module that exceed a limit."""
    for module, found in timing.items():
        for limit, value, where in _figures(found):
            if value > LIMITS[limit]:
                yield Failure(module, limit, value, where)


def _figures(found: ModuleTiming) -> Iterator[tuple[str, int, str]]:
    if found.worst is not None:
        yield LEVELS, found.worst.deepest.levels, str(found.worst.deepest)
    for net, loads in found.nets.items():
        yield LOADS, loads.data + loads.reset, net
        yield ENABLES, loads.enable, net
    paths: dict[str, list[str]] = {THROUGH: [], READY_TO_READY: []}
    for (source, target), path in found.through.items():
        ready = source.endswith("ready") and target.endswith("ready")
        paths[READY_TO_READY if ready else THROUGH].append(f"{source} -> {path} -> {target}")
    for limit, texts in paths.items():
        yield limit, len(texts), "; ".join(texts)


def worst(timing: Mapping[str, ModuleTiming], kinds: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """The greatest failure of each limit by kind of module. ``kinds``: the kind of each module."""
    values: dict[str, dict[str, int]] = {}
    for one in failures(timing):
        of_kind = values.setdefault(kinds[one.module], {})
        of_kind[one.limit] = max(one.value, of_kind.get(one.limit, 0))
    return values


def known(file: Path, design: str) -> Figures:
    """The failures that a file lists for a design."""
    listed: Figures = json.loads(file.read_text()).get(design, {})
    return listed


def write(file: Path, design: str, found: Figures) -> None:
    """Lists the failures of a design in a file, in place of those that it listed before."""
    listed = json.loads(file.read_text())
    own = {kind: found[kind] for kind in sorted(found)}
    file.write_text(json.dumps(listed | {design: own}, indent=2) + "\n")


def changes(found: Figures, listed: Figures) -> list[str]:
    """A line for each failure that is new, that is greater than its listed figure, or that is listed and gone."""
    lines = []
    for kind in sorted({*found, *listed}):
        today, before = found.get(kind, {}), listed.get(kind, {})
        for limit in LIMITS:
            value, old = today.get(limit), before.get(limit)
            if value is not None and (old is None or value > old):
                lines.append(f"{kind}: {value:,} {limit}, listed {old or 'none'}, limit {LIMITS[limit]}")
            elif value is None and old is not None:
                lines.append(f"{kind}: {limit} are within the limit, so the list must lose their entry")
    return lines
