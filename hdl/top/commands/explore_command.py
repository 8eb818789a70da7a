"""The command `explore`: the Pareto front of a model's designs on a device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...bounds import POINTS, SEED
from ...errors import InputError
from ..console import show
from .numbers import Whole
from .options import chosen_name, device_option, model_option
from .paths import NamedPath

__all__ = ["explore_command"]

Report = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is finished, and how much there is."""


@click.command("explore")
@model_option
@device_option
@click.option("--prompt", type=Whole(), default=128, show_default=True, help="Tokens of the prompt.")
@click.option("--output", type=Whole(), help="Tokens to generate.  [default: 64; an encoder generates none]")
@click.option("--points", type=Whole(POINTS), default=200_000, show_default=True, help="Designs to draw.", metavar="N")
@click.option("--seed", type=Whole(SEED), default=0, show_default=True, help="Seed of the draw.")
@click.option("--out", type=NamedPath(), help="The folder.  [default: build/explore-MODEL-DEVICE]", metavar="DIR")
@click.option("--jobs", type=Whole(), default=-1, help="Processes to use.  [default: one for each core]", metavar="J")
@click.option("--scheduler", help="A Dask scheduler, whose workers evaluate the designs instead.", metavar="ADDRESS")
@click.option("--force", is_flag=True, help="Start over where the folder holds another exploration.")
def explore_command(model: str | None, device: str, out: Path | None, **options: Any) -> None:
    """Explore the designs of a model on a device; an interrupted run continues where it stopped."""
    from ...model.load import load_network
    from ...perf.exploration.explore import explore
    from ...perf.exploration.results import write_results
    from ...perf.exploration.store import kept
    from ..emitted import shown_lines
    from ..explore_tables import counts_table, design_lines, front_table, sentence

    name = chosen_name(model)
    network = load_network(name)
    folder = out or Path("build", f"explore-{network.name}-{device}")
    try:
        with reported() as progress:
            found = explore(network, device, out=folder, progress=progress, **options)
            progress("writing", 0, 1)
            write_results(found, folder)
    except KeyboardInterrupt:
        raise InputError(f"interrupted; {kept(folder)}") from None
    show(*shown_lines(design_lines(found, folder, name)))
    show(front_table(found), counts_table(found), sentence(found, folder))


@contextmanager
def reported() -> Iterator[Report]:
    """Takes how far an exploration is, and shows it on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda doing, finished, of: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("")
        yield lambda doing, finished, of: bars.update(bar, description=doing, completed=finished, total=of)
