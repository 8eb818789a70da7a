"""The command line: estimates, explores, emits and quantises. What a user can mend is one line on stderr, and exit
code 2."""

from collections.abc import Sequence

import click

from ..version import GENERATOR, VERSION
from .commands.compare_command import compare_command
from .commands.describe_command import describe_command
from .commands.emit_command import emit_command
from .commands.estimate_command import estimate_command
from .commands.explore_command import explore_command
from .commands.image_command import image_command
from .commands.list_command import list_command
from .commands.options import model_option
from .commands.perplexity_command import perplexity_command
from .commands.quantise_command import quantise_command
from .commands.report_command import report_command
from .commands.scale_command import scale_command
from .console import run_command

__all__ = ["cli", "main", "version_option"]

version_option = click.version_option(VERSION, prog_name=GENERATOR, message="%(prog)s %(version)s")


@click.group(no_args_is_help=False)
@model_option
@version_option
@click.pass_context
def cli(context: click.Context, model: str | None) -> None:
    """Generates spatial accelerators for transformer inference."""
    context.obj = model


for command in (
    list_command, describe_command, emit_command, image_command, quantise_command, estimate_command, explore_command,
    compare_command, scale_command, report_command, perplexity_command,
):  # fmt: skip
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_command(cli, "python -m hdl.top", arguments)
