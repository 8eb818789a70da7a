"""Where results are printed: a standard output that is closed, full, or whose reader has left."""

import io
import os
import sys
from contextlib import suppress

from ..errors import InputError

__all__ = ["READER_LEFT", "check_output", "drop_output", "flush_output"]

READER_LEFT = 128 + 13
"""The exit code where the reader of a pipe has left, as `head` does: the one of a program that SIGPIPE ends."""


def check_output() -> None:
    """Refuses a standard output that is closed; on one of another encoding, characters that it lacks are escaped.

    Raises:
        InputError: where it is closed.
    """
    if sys.stdout is None:
        raise InputError("the standard output must be open to print results, and it is closed; send it to /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Hands on all that was printed.

    Raises:
        BrokenPipeError: where the reader has left.
        InputError: where it cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        raise
    except OSError as error:
        drop_output()
        raise InputError(
            f"the standard output cannot be written: {error.strerror}; send it to a file on a disk with room"
        ) from error


def drop_output() -> None:
    """Sends what is left of the output to nowhere, so that Python does not try to write it at its end."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
