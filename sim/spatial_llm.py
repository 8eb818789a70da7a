"""The command `spatial-llm`: those of `python -m hdl.top`, and `sim`."""

# ruff: noqa: E402
from hdl.interrupts import end_when_interrupted

end_when_interrupted()

from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class

from hdl.top.cli import cli, version_option
from hdl.top.commands.options import model_option
from hdl.top.console import run_command
from hdl.version import GENERATOR
from sim.command import sim_command

__all__ = ["main", "spatial_llm"]

SHELLS = ("bash", "zsh", "fish")

COMPLETION_VARIABLE = f"_{GENERATOR}_COMPLETE".replace("-", "_").upper()
"""Set by a shell that asks for completions, as click has it."""


@click.group(GENERATOR, no_args_is_help=False)
@model_option
@version_option
@click.pass_context
def spatial_llm(context: click.Context, model: str | None) -> None:
    """Generates spatial accelerators for transformer inference, and simulates them."""
    context.obj = model


@spatial_llm.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion_command(shell: str) -> None:
    """Print the script that completes commands, options and names in a shell: bash, zsh or fish.

    \b
    bash, in ~/.bashrc:                  eval "$(spatial-llm completion bash)"
    zsh, in ~/.zshrc after compinit:     eval "$(spatial-llm completion zsh)"
    fish, in ~/.config/fish/config.fish: spatial-llm completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(spatial_llm, {}, GENERATOR, COMPLETION_VARIABLE).source())


for command in (*cli.commands.values(), sim_command):
    spatial_llm.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 where a simulation is not bit-exact, 2 for bad input."""
    return run_command(spatial_llm, GENERATOR, arguments)
