"""The command `sim`, which is `python -m sim` too. It loads in milliseconds; what it needs to run, it imports when it
runs."""

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from hdl.bounds import SEED, TEMPERATURE, THREADS
from hdl.top.cli import version_option
from hdl.top.commands.numbers import Decimal, Whole
from hdl.top.commands.options import (
    chosen_name,
    device_option,
    force_option,
    model_option,
    origin_options,
    share_option,
    tile_option,
    weight_options,
)
from hdl.top.commands.paths import NamedPath
from hdl.top.console import run_command

__all__ = ["main", "sim_command"]


@click.command("sim")
@model_option
@click.option("--text", "texts", multiple=True, help="For encoders: a text. May be given several times.")
@click.option("--prompt", help="For decoders: the text to continue.")
@click.option("--tokens", type=Whole(), default=32, show_default=True, help="Tokens to generate after the prompt.")
@click.option("--top-k", type=Whole(), default=40, show_default=True, help="Candidates for each token, 1 to 64.")
@click.option(
    "--temperature",
    type=Decimal(TEMPERATURE),
    default=0.8,
    show_default=True,
    help="Temperature of the sampling; 0 takes the best.",
)
@click.option("--seed", type=Whole(SEED), default=0, show_default=True, help="Seed of the sampling.")
@weight_options
@click.option("--simulator", type=click.Choice(["verilator", "amaranth"]), default="verilator", show_default=True)
@origin_options
@click.option(
    "--static", is_flag=True, help="Fix the ranges of rows by calibration, instead of finding each at run time."
)
@device_option
@tile_option
@click.option(
    "--max-length", type=Whole(), help="Tokens of the longest sequence.  [default: 512, or all positions of the model]"
)
@share_option
@click.option(
    "--waves", type=NamedPath(), help="A VCD file to write, with the signals of the first text.", metavar="FILE"
)
@force_option
@click.option("--threads", type=Whole(THREADS), default=2, show_default=True, help="Threads of the simulation.")
@version_option
def sim_command(model: str | None, **options: Any) -> int:
    """Run texts through the accelerator, in a simulator, and check every value that leaves it."""
    from hdl.model.load import presets
    from sim.demonstration import demonstrate

    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return demonstrate(given, model=chosen_name(model, presets()), **options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `python -m sim`; returns the exit code: 0 bit-exact, 1 a mismatch, 2 bad input."""
    return run_command(sim_command, "python -m sim", arguments)
