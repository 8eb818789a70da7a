"""The programs that a build runs: one that fails is one line, and none runs on after its build has ended."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self

from hdl.errors import InputError

__all__ = ["BuildError", "Programs"]

_REASON = re.compile(r"error|failed|cannot|killed", re.IGNORECASE)


class BuildError(InputError):
    """A program of the build is missing or has failed: a line with its first error. All that it said is in a note of
    the exception, which a traceback shows."""

    @classmethod
    def of(cls, program: str, code: int, output: str) -> Self:
        """For a ``program`` that ended with an exit ``code`` other than 0 after that ``output``."""
        ended = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        first = next((line for line in lines if _REASON.search(line)), lines[-1] if lines else "it said nothing")
        error = cls(f"{program} {ended}: {first}")
        error.add_note(output)
        return error


class Programs:
    """Runs programs, from several threads too; leaving the block kills those that still run, and what these run."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = Lock()
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for process in list(self._running):
            process.wait()

    def check(self) -> None:
        """Raises BuildError after the block was left."""
        if self._ended:
            raise BuildError("the build has ended")

    def run(
        self, command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> str:
        """Runs a program in ``folder``, with ``environment`` beside this process's; returns its output, in English.

        Raises:
            BuildError: where it cannot be run, or fails.
        """
        name = Path(command[0]).name
        with self._lock:
            self.check()
            process = _start(command, folder, {**os.environ, "LC_ALL": "C", **(environment or {})})
            self._running.add(process)
        output, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode:
            raise BuildError.of(name, process.returncode, output)
        return output


def _start(command: Sequence[str], folder: Path | None, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process in a group of its own, so that it can be killed together with those that it starts."""
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from error
