"""The command line: describes, emits and quantises. What a user can mend is one line on stderr, and exit code 2."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from amaranth.hdl import UnusedElaboratable
from rich.console import Console

from ..errors import InputError
from ..model.prepare import prepare
from ..model.spec import BertSpec, load_model, presets
from ..perf.device import Device, load_device
from ..perf.plan import plan
from ..perf.spec import PipelineSpec
from .describe import devices_table, models_table, summary, units_table
from .emit import Progress, emit

__all__ = ["main", "run_command", "shown_progress"]

PLAIN_WIDTH = 110
"""Columns of a table that goes to a file or a pipe."""


def model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --model, which may stand before a command or after it."""
    return click.option("--model", help="A built-in model's name, or the path of its config.json.", metavar="NAME")(
        command
    )


def hardware_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a pipeline follows from."""
    options = [
        model_option,
        click.option("--device", default="u280", show_default=True, help="The FPGA.", metavar="NAME"),
        click.option("--tile", type=int, default=4, show_default=True, help="Tokens worked on at once: 2, 4 or 8."),
        click.option(
            "--max-length", type=int, help="Tokens of the longest sequence.  [default: 512, or the model's most]"
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(no_args_is_help=False)
@model_option
@click.pass_context
def cli(context: click.Context, model: str | None) -> None:
    """Generates spatial accelerators for transformer inference."""
    context.obj = model


@cli.command("list")
def list_command() -> None:
    """List the built-in models and the devices."""
    show(models_table(), devices_table())


@cli.command("describe")
@hardware_options
@click.pass_obj
def describe_command(early: str | None, model: str | None, device: str, tile: int, max_length: int | None) -> None:
    """Show the pipeline's units: how each is laid out, its speed, and what it takes of the device."""
    network, board, spec = planned(model or early, device, tile, max_length)
    title = f"{network.name} on {board.board}, {tile} tokens a tile, at most {spec.max_length} tokens"
    show(units_table(spec, board, title), summary(spec, board))


@cli.command("emit")
@hardware_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="The folder.  [default: build/MODEL-DEVICE]", metavar="DIR"
)
@click.pass_obj
def emit_command(
    early: str | None, model: str | None, device: str, tile: int, max_length: int | None, out: Path | None
) -> None:
    """Write the Verilog, constraints, a synthesis script and a manifest."""
    with shown_progress() as progress:
        progress("choosing the geometry")
        network, board, spec = planned(model or early, device, tile, max_length)
        folder = emit(
            spec, board, out or Path("build", f"{network.name}-{board.name}"), network.name, progress=progress
        )
    size = sum(file.stat().st_size for file in folder.glob("rtl/*.v"))
    modules = sum(1 for _ in folder.glob("rtl/*.v"))
    click.echo(
        f"{folder}: {modules} modules in {size:,} bytes of Verilog, {spec.macs:,} MAC/cycle; see manifest.json there"
    )


@cli.command("quantise")
@model_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.", metavar="FILE")
@click.option(
    "--static", is_flag=True, help="Fix the ranges of rows by calibration, instead of finding each at run time."
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights in safetensors.", metavar="PATH")
@click.pass_obj
def quantise_command(early: str | None, model: str | None, out: Path, static: bool, checkpoint: Path | None) -> None:
    """Quantise a model's weights to the integers of the hardware."""
    spec = chosen_model(model or early)
    with shown_progress() as progress:
        progress("quantising")
        quantised = prepare(spec, checkpoint=checkpoint, static=static).quantised
        quantised.save(out)
    click.echo(f"{out}: {spec.name}, {quantised.source}, {out.stat().st_size:,} bytes")


def chosen_model(name: str | None) -> BertSpec:
    """The model of that name.

    Raises:
        InputError: where none is given, or it is unknown.
    """
    if name is None:
        raise InputError(
            f"a model must be given with --model; known: {', '.join(presets())}, or a path to a config.json"
        )
    return load_model(name)


def planned(model: str | None, device: str, tile: int, max_length: int | None) -> tuple[BertSpec, Device, PipelineSpec]:
    """The model, the device and the pipeline that the options ask for."""
    network, board = chosen_model(model), load_device(device)
    return network, board, plan(network, board, tile=tile, max_length=max_length)


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Takes what is being done, and shows it on stderr where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda doing: None
        return
    with console.status("") as status:
        yield status.update


def show(*parts: Any) -> None:
    """Tables and sentences on stdout."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    for part in parts:
        console.print(part)


def run_command(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command of that name; returns the exit code. The one place where errors become messages."""
    # Amaranth warns of every component that was made and not used, which is what an error or an interrupt leaves.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        return command.main(arguments, prog_name=name, standalone_mode=False) or 0
    except click.Abort:  # what click makes of an interrupt
        return complain("interrupted; nothing was written")
    except click.UsageError as error:
        return complain(f"error: {error.format_message().rstrip('.')}; see --help")
    except InputError as error:
        return complain(f"error: {error}")
    except OSError as error:
        return complain(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")


def complain(message: str) -> int:
    """Says what is wrong, in one line on stderr; returns the exit code."""
    click.echo(" ".join(message.split()), err=True)
    return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_command(cli, "python -m hdl.top", arguments)
