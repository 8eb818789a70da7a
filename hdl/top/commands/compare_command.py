"""The command `compare`: where an FPGA wins against a GPU, as tables, as JSON, and as pictures in a folder."""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from ...bounds import CLOCK
from ...errors import InputError
from ...output import output_file, starts_with, written
from ...version import GENERATOR
from ..console import show, shown_progress
from .numbers import Decimal, Whole
from .options import chosen_name, device_option, force_option, gpu_names, json_option, model_option, sequences_option
from .paths import NamedPath

__all__ = ["compare_command"]


@click.command("compare")
@model_option
@device_option
@click.option("--against", default="a100", show_default=True, help="The GPU.", metavar="NAME", shell_complete=gpu_names)
@click.option(
    "--max-length",
    type=Whole(),
    help="Tokens of prompt and output together.  [default: the model's positions, up to 4096]",
)
@sequences_option
@click.option(
    "--weight-bits", type=Whole(), default=8, show_default=True, help="Bits of every weight on the FPGA: 8 or 4."
)
@click.option("--clock", "clock_mhz", type=Decimal(CLOCK), help="The FPGA's clock in MHz.  [default: the device's]")
@click.option(
    "--format", "number_format", default="fp16", show_default=True, help="The number format of the GPU.", metavar="NAME"
)
@click.option(
    "--software",
    default="captured",
    show_default=True,
    metavar="NAME",
    help="How the GPU's kernels are launched: captured or eager.",
)
@json_option
@click.option("--out", type=NamedPath(), help="A folder to write the maps into, as pictures (SVG).", metavar="DIR")
@force_option
def compare_command(
    model: str | None, device: str, against: str, as_json: bool, out: Path | None, force: bool, **workload: Any
) -> None:
    """Show at which lengths an FPGA wins against a GPU: by latency, throughput and energy."""
    from ...perf.comparison.compare import METRICS, compare
    from ..compare_tables import heading, map_table
    from ..emitted import design_dict, design_lines, shown_lines

    files = [] if out is None else maps_in(out, METRICS, force)
    with shown_progress() as progress:
        progress("choosing the geometry")
        name = chosen_name(model)
        found = compare(name, device, against, **workload)
        if out is not None:
            # Only here: matplotlib takes longer to load than most commands take to run.
            from ..maps import picture

            progress("drawing")
            write(out, {file: picture(found, metric) for file, metric in zip(files, METRICS, strict=True)})
    if as_json:
        click.echo(json.dumps({"emit": design_dict(found.chosen, name)} | found.as_dict(), indent=2))
        return
    show(*shown_lines(design_lines(found.chosen, name)), f"{found.device.name} has this design at all lengths.", "")
    for metric in METRICS:
        show(heading(found, metric), map_table(found, metric))
    show(found.assumptions)
    if out is not None:
        click.echo(f"{out}: {', '.join(f'{metric}.svg' for metric in METRICS)}")


def maps_in(folder: Path, names: Iterable[str], force: bool) -> list[Path]:
    """The files of the maps in a folder, which may be there.

    Raises:
        InputError: where one of them must not be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output {folder} must be a folder, not a file; choose another --out")
    return [output_file(folder / f"{name}.svg", "compare", is_map, force=force) for name in names]


def is_map(path: Path) -> bool:
    """Whether a file is a map that `compare` wrote."""
    return starts_with(path, b"<svg", GENERATOR.encode())


def write(folder: Path, files: Mapping[Path, str]) -> None:
    """Writes files to a folder: all of them, or none where one fails.

    Raises:
        InputError: where that cannot be.
    """
    try:
        with ExitStack() as stack:
            for path, text in files.items():
                stack.enter_context(written(path)).write(text.encode())
    except OSError as error:
        raise InputError(f"output folder {folder} cannot be written: {error.strerror or error}") from error
