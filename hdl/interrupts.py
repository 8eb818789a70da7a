"""Signals that end a command: one line on stderr and exit code 2, with nothing left unfinished."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

__all__ = ["INTERRUPTED", "end_when_interrupted", "interruptible"]

INTERRUPTED = "interrupted; nothing was written"
"""The line of a command that was interrupted."""


def end_when_interrupted() -> None:
    """Lets Ctrl-C end the process at once, with one line. For the time of imports, before any work begins."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP interrupt the block as Ctrl-C does, so that the block can clean up."""
    if current_thread() is not main_thread():
        yield
        return
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A signal that is ignored, as by nohup, stays ignored.
    taken = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in taken:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(2)
