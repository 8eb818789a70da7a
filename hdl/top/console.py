"""What all commands share: the option of the model, tables, progress, and errors as one line on stderr."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from amaranth.hdl import UnusedElaboratable
from rich.console import Console

from ..errors import InputError
from ..model.network import networks
from ..model.weightbits import WeightBits
from ..notices import shown_notices

__all__ = ["TILE_HELP", "chosen_name", "model_option", "run_command", "show", "shown_progress", "weight_options"]

Progress = Callable[[str], None]
"""Takes what is being done now, in a few words."""

TILE_HELP = "Tokens worked on at once: 2, 4 or 8.  [default: 4; a decoder's best of 4 and 2]"
"""Of the option of whoever makes hardware."""

PLAIN_WIDTH = 110
"""Columns of a table that goes to a file or a pipe."""


def model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --model, which may stand before a command or after it."""
    return click.option("--model", help="A built-in model's name, or the path of its config.json.", metavar="NAME")(
        command
    )


def weight_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --weight-bits and --int8 of what is built, which a command takes as its ``weight_bits``."""

    @click.option(
        "--weight-bits", type=int, default=8, show_default=True, help="A decoder's weights in memory: 8 or 4."
    )
    @click.option(
        "--int8",
        multiple=True,
        help=f"With 4, a product that has 8: {', '.join(WeightBits._fields)}; may be given several times.",
        metavar="PRODUCT",
    )
    @wraps(command)
    def chosen(*arguments: Any, weight_bits: int, int8: tuple[str, ...], **others: Any) -> Any:
        return command(*arguments, weight_bits=WeightBits.of(weight_bits, int8), **others)

    return chosen


def chosen_name(name: str | None, known: Sequence[str] | None = None) -> str:
    """The name, if one is given; ``known``: those to be named if not, all networks by default.

    Raises:
        InputError: where none is given.
    """
    if name is None:
        names = ", ".join(known or networks())
        raise InputError(f"a model must be given with --model; known: {names}, or a path to a config.json")
    return name


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
    """Runs a command of that name; returns the exit code. The one place where errors and notices become messages."""
    # Amaranth warns of every component that was made and not used, which is what an error or an interrupt leaves.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        with shown_notices(note):
            return command.main(arguments, prog_name=name, standalone_mode=False) or 0
    except click.Abort:  # what click makes of an interrupt
        return complain("interrupted; nothing was written")
    except click.UsageError as error:
        return complain(f"error: {error.format_message().rstrip('.')}; see --help")
    except InputError as error:
        return complain(f"error: {error}")
    except OSError as error:
        return complain(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")


def note(text: str) -> None:
    """Says what is ignored or assumed, in one line on stderr."""
    click.echo(" ".join(f"note: {text}".split()), err=True)


def complain(message: str) -> int:
    """Says what is wrong, in one line on stderr; returns the exit code."""
    click.echo(" ".join(message.split()), err=True)
    return 2
