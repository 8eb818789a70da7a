"""The command `compare`: where an FPGA wins against a GPU, as tables, as JSON, and as pictures in a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich import box
from rich.table import Table

from ..errors import InputError
from ..perf.comparison.compare import METRICS, Comparison, Metric, compare
from ..perf.comparison.gpu import SOFTWARE
from .console import chosen_name, model_option, show, shown_progress

__all__ = ["compare_command", "map_table"]


@click.command("compare")
@model_option
@click.option("--device", default="u280", show_default=True, help="The FPGA.", metavar="NAME")
@click.option("--against", default="a100", show_default=True, help="The GPU.", metavar="NAME")
@click.option(
    "--max-length", type=int, help="Tokens of prompt and output together.  [default: the model's positions, up to 4096]"
)
@click.option("--sequences", type=int, default=1, show_default=True, help="Sequences in flight, on both.")
@click.option("--weight-bits", type=int, default=8, show_default=True, help="Bits of every weight on the FPGA: 8 or 4.")
@click.option("--clock", "clock_mhz", type=float, help="The FPGA's clock in MHz.  [default: for planning]")
@click.option("--format", "number_format", default="fp16", show_default=True, help="The GPU's format.", metavar="NAME")
@click.option(
    "--software",
    default="captured",
    show_default=True,
    metavar="NAME",
    help=f"How the GPU's kernels are launched: {' or '.join(SOFTWARE)}.",
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for the maps as pictures (SVG).", metavar="DIR")
@click.pass_obj
def compare_command(
    early: str | None, /, model: str | None, device: str, against: str, as_json: bool, out: Path | None, **workload: Any
) -> None:
    """Show at which lengths an FPGA wins against a GPU: by latency, throughput and energy."""
    with shown_progress() as progress:
        progress("choosing the geometry")
        found = compare(chosen_name(model or early), device, against, **workload)
        if out is not None:
            # Only here: matplotlib takes longer to load than most commands take to run.
            from .maps import picture

            progress("drawing")
            write(out, {f"{metric}.svg": picture(found, metric) for metric in METRICS})
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
        return
    for metric in METRICS:
        show(heading(found, metric), map_table(found, metric))
    show(found.assumptions)
    if out is not None:
        click.echo(f"{out}: {', '.join(f'{metric}.svg' for metric in METRICS)}")


def heading(found: Comparison, metric: Metric) -> str:
    """What a map shows, in two lines."""
    return (
        f"{found.network.name}, {metric}: {METRICS[metric][0]}\n"
        f"times that {found.device.name} is better than {found.against.name}: it wins at {found.wins(metric)} of "
        f"{len(found.points)} pairs of lengths"
    )


def map_table(found: Comparison, metric: Metric) -> Table:
    """The map of a metric: a row a prompt, a column an output; the FPGA wins above 1, in green on a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("prompt \\ output" if found.network.causal else "tokens", justify="right")
    for output in found.outputs:
        table.add_column(f"{output:,}" if output else "times", justify="right")
    for prompt in found.prompts:
        table.add_row(f"{prompt:,}", *(_cell(found, metric, prompt, output) for output in found.outputs))
    return table


def _cell(found: Comparison, metric: Metric, prompt: int, output: int) -> str:
    point = found.at(prompt, output)
    if point is None:
        return ""
    ratio = point.ratio(metric)
    return f"[green]{ratio:.2f}[/]" if ratio >= 1 else f"[red]{ratio:.2f}[/]"


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files to a folder, which may be there; each appears when it is complete.

    Raises:
        InputError: where that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".drawing-", dir=folder) as workshop:
            for name, text in files.items():
                Path(workshop, name).write_text(text)
            for name in files:
                Path(workshop, name).replace(folder / name)
    except OSError as error:
        raise InputError(f"output folder {folder} cannot be written: {error.strerror or error}") from error
