"""Runs command lines."""

import shlex

import pytest

from hdl.top.cli import main


class Run:
    """What a command line gave."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str):
        self.code = main(arguments)
        self.out, self.err = capsys.readouterr()

    def complaint(self) -> str:
        """The one line on stderr of a mistake."""
        assert (self.code, self.out) == (2, "")
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("error: ").rstrip("\n")

    @property
    def printed(self) -> list[list[str]]:
        """The arguments of each command that it printed."""
        start = "python -m hdl.top "
        lines = [line for line in self.out.splitlines() if line.startswith(start)]
        return [shlex.split(line.removeprefix(start)) for line in lines]
