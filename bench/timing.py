"""LUT levels, fan-out and slack of a mapped design. ``python -m bench.timing [--write] [model] [max length]``;
tiny-bert by default. ``--write`` lists the failures that it finds in ``bench/timing_known.json``.

The exit code is 1 if a failure is new or greater than its figure in ``bench/timing_known.json``, or if a failure of
that list is gone. The list has an entry only for designs that were measured; every failure of another design is new.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hdl.model.load import load_model
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.top.emit import top_of
from hdl.top.emitter import Emitter
from sim.mapping import map_modules
from sim.timing import ModuleTiming, TimingPath, analyse
from sim.timing_gate import CLOCK_MHZ, LIMITS, Failure, changes, failures, known, worst, write

KNOWN = Path(__file__).with_name("timing_known.json")
SHOWN = 10


def paths_table(paths: Mapping[str, TimingPath], title: str) -> Table:
    """The worst path of each of the worst modules."""
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("module", "levels", "ns", f"slack at {CLOCK_MHZ} MHz"):
        table.add_column(heading, justify="left" if heading == "module" else "right")
    table.add_column("path")
    for module, path in list(paths.items())[:SHOWN]:
        table.add_row(module, str(path.levels), f"{path.delay:.2f}", f"{slack(path):.2f}", escape(str(path)))
    return table


def slack(path: TimingPath) -> float:
    """ns that a path leaves of the clock's period."""
    return 1000 / CLOCK_MHZ - path.delay


def worst_paths(timing: Mapping[str, ModuleTiming], *, slowest: bool) -> dict[str, TimingPath]:
    """The deepest or the slowest path of each module, the worst first."""
    worsts = {name: one.worst for name, one in timing.items() if one.worst}
    found = {name: one.slowest if slowest else one.deepest for name, one in worsts.items()}
    return dict(sorted(found.items(), key=lambda one: (0 if slowest else -one[1].levels, -one[1].delay)))


def failures_table(found: Sequence[Failure], limit: str) -> Table:
    """The greatest figures that exceed a limit."""
    table = Table("module", title=f"{limit}, at most {LIMITS[limit]}", title_justify="left")
    table.add_column("figure", justify="right")
    table.add_column("where")
    for one in sorted((one for one in found if one.limit == limit), key=lambda one: -one.value)[:SHOWN]:
        table.add_row(one.module, f"{one.value:,}", escape(one.where[:300]))
    return table


def summary(design: str, timing: Mapping[str, ModuleTiming], found: Sequence[Failure]) -> str:
    """A row for ``docs/timing.md``."""
    deepest = next(iter(worst_paths(timing, slowest=False).values()))
    slowest = next(iter(worst_paths(timing, slowest=True).values()))
    nets = [loads for one in timing.values() for loads in one.nets.values()]
    counts = [sum(one.limit == limit for one in found) for limit in LIMITS]
    cells = [
        design, len(timing), deepest.levels, f"{slowest.delay:.2f}", f"{slack(slowest):.2f}",
        f"{max(net.data + net.reset for net in nets):,}", f"{max(net.enable for net in nets):,}", *counts,
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Prints the tables."""
    console = Console(highlight=False, width=160)
    arguments = sys.argv[1:]
    if listing := "--write" in arguments:
        arguments.remove("--write")
    name, *length = arguments or ["tiny-bert"]
    spec = plan(load_model(name), load_device("u280"), max_length=int(length[0]) if length else None)
    emitter, (pipeline, top) = Emitter(), top_of(spec)
    emitter.emit(pipeline, top)
    count = len(emitter.modules)
    with console.status("") as status:
        netlists = map_modules(
            emitter.modules, fastest=True, progress=lambda done: status.update(f"{done} of {count} modules mapped")
        )
    timing = analyse(netlists, top)
    found = list(failures(timing))
    console.print(paths_table(worst_paths(timing, slowest=False), "deepest paths"))
    console.print(paths_table(worst_paths(timing, slowest=True), "slowest paths, by delays that are not calibrated"))
    for limit in LIMITS:
        console.print(failures_table(found, limit))
    design = " ".join([name, *length])
    print(summary(design, timing, found))
    figures = worst(timing, {module: one.kind for module, one in emitter.modules.items()})
    if listing:
        write(KNOWN, design, figures)
    differing = changes(figures, known(KNOWN, design))
    print("\n".join(differing))
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
