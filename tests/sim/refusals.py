"""Commands of ``python -m sim`` that must be refused, for the tests."""

import pytest

from sim.command import main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a command that must exit with 2."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line.removeprefix("error: ")
