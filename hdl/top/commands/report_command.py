"""The command `report`: one HTML page on a model on a device."""

import shlex
from pathlib import Path
from typing import Any

import click

from ...bounds import FRONT_POINTS, SEED
from ...errors import InputError
from ...output import output_file, starts_with, written
from ..console import shown_progress
from .numbers import Whole
from .options import chosen_name, force_option, workload_options
from .paths import NamedPath

__all__ = ["report_command"]


@click.command("report")
@workload_options
@click.option(
    "--points",
    type=Whole(FRONT_POINTS),
    default=20_000,
    show_default=True,
    help="Designs to draw for the Pareto front; 0 leaves the front out.",
)
@click.option("--seed", type=Whole(SEED), default=0, show_default=True, help="Seed of the draw.")
@click.option("--out", type=NamedPath(), help="The page.  [default: build/report-MODEL-DEVICE.html]", metavar="FILE")
@force_option
def report_command(
    model: str | None, device: str, points: int, seed: int, out: Path | None, force: bool, **asked: Any
) -> None:
    """Write a page on a model on a device: time, occupancy, limits, resources, the front, and what would help most."""
    from ...model.load import load_network
    from ...perf.device import load_device
    from ...perf.estimate import estimate
    from ..report.page import page
    from ..report.report_data import report_data

    name = chosen_name(model)
    network, board = load_network(name), load_device(device)
    file = out or Path("build", f"report-{network.name}-{board.name}.html")
    target = output_file(file, "report", is_page, force=force)
    with shown_progress() as progress:
        progress("choosing the geometry")
        found = estimate(network, board, **asked)
        command = command_line(name, device, asked | {"points": points, "seed": seed})
        try:
            # Opened first: a path that cannot be written is told at once.
            with written(target) as opened:
                gathered = report_data(
                    found, asked, model=name, points=points, seed=seed, command=command, progress=progress
                )
                opened.write(page(gathered).encode())
        except OSError as error:
            raise InputError(f"output file {file} cannot be written: {error.strerror or error}") from error
    click.echo(f"{file}: {network.name} on {board.board}, {file.stat().st_size:,} bytes")


def is_page(path: Path) -> bool:
    """Whether a file is a page that `report` wrote."""
    return starts_with(path, b"<!DOCTYPE html>", b'<meta name="generator" content="spatial-llm">')


def command_line(model: str, device: str, options: dict[str, Any]) -> str:
    """What makes the same page: all options that have a value."""
    from ..emitted import bits_words

    words = ["python", "-m", "hdl.top", "--model", model, "report", "--device", device]
    for name in ("prompt", "output", "sequences", "tile", "clock_mhz", "points", "seed"):
        if (value := options[name]) is not None:
            option = name.removesuffix("_mhz").replace("_", "-")
            words += [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *bits_words(options["weight_bits"])])
