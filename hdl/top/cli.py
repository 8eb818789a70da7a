"""The command line: describes, emits and quantises. What a user can mend is one line on stderr, and exit code 2."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..errors import InputError
from ..model.gpt2.prepare import prepare as prepare_decoder
from ..model.gpt2.quantised import QuantisedGpt2
from ..model.network import load_network, networks
from ..model.prepare import prepare
from ..model.quantised import QuantisedBert
from ..model.spec import BertSpec, Gpt2Spec, ModelSpec, load_model, presets
from ..model.weightbits import WeightBits
from ..perf.device import Device, load_device
from ..perf.plan import plan
from ..perf.spec import PipelineSpec
from .compare_command import compare_command
from .console import TILE_HELP, chosen_name, model_option, run_command, show, shown_progress, weight_options
from .describe import devices_table, models_table, summary, units_table
from .emit import emit
from .estimate_command import estimate_command
from .explore_command import explore_command
from .point import read_point
from .report_command import report_command
from .scale_command import scale_command

__all__ = ["main"]


def hardware_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a pipeline follows from."""
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        model_option,
        click.option("--device", default="u280", show_default=True, help="The FPGA.", metavar="NAME"),
        click.option("--tile", type=int, help=TILE_HELP),
        click.option(
            "--max-length", type=int, help="Tokens of the longest sequence.  [default: 512, or the model's most]"
        ),
        weight_options,
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


cli.add_command(estimate_command)
cli.add_command(compare_command)
cli.add_command(explore_command)
cli.add_command(scale_command)
cli.add_command(report_command)


@cli.command("list")
def list_command() -> None:
    """List the built-in models and the devices."""
    show(models_table(), devices_table())


@cli.command("describe")
@hardware_options
@click.pass_obj
def describe_command(
    early: str | None, model: str | None, device: str, tile: int | None, max_length: int | None, weight_bits: WeightBits
) -> None:
    """Show the pipeline's units: how each is laid out, its speed, and what it takes of the device."""
    network, board, spec = planned(model or early, device, tile, max_length, weight_bits)
    title = f"{network.name} on {board.board}, {spec.rows} tokens a tile, at most {spec.max_length} tokens"
    show(units_table(spec, board, title), summary(spec, board))


@cli.command("emit")
@hardware_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="The folder.  [default: build/MODEL-DEVICE]", metavar="DIR"
)
@click.option(
    "--point", type=click.Path(path_type=Path), help="A point of an exploration, with its own geometry.", metavar="FILE"
)
@click.pass_obj
def emit_command(
    early: str | None,
    model: str | None,
    device: str,
    tile: int | None,
    max_length: int | None,
    weight_bits: WeightBits,
    out: Path | None,
    point: Path | None,
) -> None:
    """Write the Verilog, constraints, a synthesis script and a manifest."""
    with shown_progress() as progress:
        progress("choosing the geometry")
        if point is None:
            network, board, spec = planned(model or early, device, tile, max_length, weight_bits)
            name = network.name
        else:
            name, board, spec = pointed(point, model or early)
        folder = emit(spec, board, out or Path("build", f"{name}-{board.name}"), name, progress=progress)
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
@weight_options
@click.pass_obj
def quantise_command(
    early: str | None, model: str | None, out: Path, static: bool, checkpoint: Path | None, weight_bits: WeightBits
) -> None:
    """Quantise a model's weights to the integers of the hardware."""
    spec = chosen_model(model or early)
    with shown_progress() as progress:
        progress("quantising")
        options: dict[str, Any] = {"checkpoint": checkpoint, "static": static}
        quantised: QuantisedBert | QuantisedGpt2
        if isinstance(spec, Gpt2Spec):
            quantised = prepare_decoder(spec, **options, weight_bits=weight_bits).quantised
        else:
            assert isinstance(spec, BertSpec)
            weight_bits.check_encoder()
            quantised = prepare(spec, **options).quantised
        quantised.save(out)
    click.echo(f"{out}: {spec.name}, {quantised.source}, {out.stat().st_size:,} bytes")


def pointed(path: Path, model: str | None) -> tuple[str, Device, PipelineSpec]:
    """The name of the model, the device at the point's clock, and the pipeline of a point."""
    context = click.get_current_context()
    for name in ("device", "tile", "max_length", "weight_bits", "int8"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise InputError(f"--{name.replace('_', '-')} must be left out with --point, which has its own")
    point, spec = read_point(path, model)
    board = load_device(point.device).model_copy(update={"clock_mhz": point.clock_mhz})
    return point.network.name, board, spec


def chosen_model(name: str | None) -> ModelSpec:
    """The model of that name, of which hardware can be made.

    Raises:
        InputError: where none is given, it is unknown, or known for estimates only.
    """
    name = chosen_name(name, presets(ModelSpec))
    if name in networks() and name not in presets(ModelSpec):
        family = load_network(name).family
        raise InputError(
            f"model {name!r} must be of the family bert or gpt2 to be built, not {family}; estimate knows it"
        )
    return load_model(name, ModelSpec)


def planned(
    model: str | None, device: str, tile: int | None, max_length: int | None, weight_bits: WeightBits
) -> tuple[ModelSpec, Device, PipelineSpec]:
    """The model, the device and the pipeline that the options ask for."""
    network, board = chosen_model(model), load_device(device)
    return network, board, plan(network, board, tile=tile, max_length=max_length, weight_bits=weight_bits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_command(cli, "python -m hdl.top", arguments)
