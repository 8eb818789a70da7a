"""What all commands share: tables, progress, and errors as one line on stderr. It loads in milliseconds, as the
commands do."""

import errno
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..errors import InputError
from ..interrupts import INTERRUPTED, interruptible
from ..notices import shown_notices
from .standardoutput import READER_LEFT, check_output, drop_output, flush_output

__all__ = ["PLAIN_WIDTH", "Progress", "run_command", "show", "shown_progress"]

Progress = Callable[[str], None]
"""Takes what is being done now, in a few words."""

REMEDIES = {
    errno.ENOSPC: "free some space on the disk, or write to another one",
    errno.EDQUOT: "free some space on the disk, or write to another one",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a file stands where the path has a folder; choose another path",
    errno.ENOENT: "check the path",
    errno.EACCES: "allow it for this user, or choose another path",
    errno.EPERM: "allow it for this user, or choose another path",
    errno.EROFS: "choose a path on another disk",
    errno.EMFILE: "allow more open files with ulimit -n",
}
"""What helps where the system refuses a file."""

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

    # Names of models are shown as they are: brackets in them are no markup, nor is ``:smile:`` an emoji.
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for part in parts:
        # What must not be broken says so itself, but rich forgets it.
        console.print(part, soft_wrap=bool(getattr(part, "no_wrap", False)))


def run_command(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command of that name; returns the exit code. The one place where errors and notices become messages."""
    # Amaranth warns of every component that was made and not used, which is what an error or an interrupt leaves.
    warnings.filterwarnings("ignore", message="(?s).* created but never used")
    try:
        check_output()
        with interruptible(), shown_notices(note):
            code = command.main(arguments, prog_name=name, standalone_mode=False) or 0
        flush_output()
        return code
    except (click.Abort, KeyboardInterrupt):  # the first is what click makes of the second
        return complain(INTERRUPTED)
    except click.UsageError as error:
        return complain(f"error: {error.format_message().rstrip('.')}; see --help")
    except InputError as error:
        return complain(f"error: {error}")
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != 1:
            raise  # a shell's completion has been printed
        # With 1, click and rich end the process where the reader of the output has left.
        drop_output()
        return READER_LEFT
    except OSError as error:
        return complain(f"error: {cause(error)}")


def cause(error: OSError) -> str:
    """What the system refused, where, and what helps: of an error that no command has words of its own for."""
    # Only what opens a file knows its name; what writes does not.
    place = error.filename if error.filename is not None else "a file, or the standard output,"
    remedy = REMEDIES.get(error.errno or 0, "check the file and its folder")
    return f"{place} cannot be read or written: {error.strerror or error}; {remedy}"


def note(text: str) -> None:
    """Says what is ignored or assumed, in one line on stderr."""
    click.echo(" ".join(f"note: {text}".split()), err=True)


def complain(message: str) -> int:
    """Says what is wrong, in one line on stderr; returns the exit code."""
    click.echo(" ".join(message.split()), err=True)
    return 2
