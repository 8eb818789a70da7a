"""What all commands share: tables, progress, and errors as one line on stderr. It loads in milliseconds, as the
commands do."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..errors import InputError
from ..notices import shown_notices

__all__ = ["PLAIN_WIDTH", "Progress", "run_command", "show", "shown_progress"]

Progress = Callable[[str], None]
"""Takes what is being done now, in a few words."""

PLAIN_WIDTH = 110
"""Columns of a table that goes to a file or a pipe."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Takes what is being done, and shows it on stderr where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda doing: None
        return
    with console.status("") as status:
        yield status.update


def show(*parts: Any) -> None:
    """Tables and sentences on stdout."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    for part in parts:
        console.print(part)


def run_command(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command of that name; returns the exit code. The one place where errors and notices become messages."""
    # Amaranth warns of every component that was made and not used, which is what an error or an interrupt leaves.
    warnings.filterwarnings("ignore", message="(?s).* created but never used")
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
