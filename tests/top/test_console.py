"""What every command does with its standard output, with signals, and with what the system refuses."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from hdl.interrupts import INTERRUPTED, end_when_interrupted, interruptible
from hdl.top.console import run_command

PRINTS = """
import sys
from hdl.interrupts import end_when_interrupted
end_when_interrupted()
import click
from hdl.top.console import run_command, show

@click.command()
@click.option("--rich", is_flag=True)
def prints(rich):
    for _ in range(3):
        (show if rich else click.echo)("caf\\u00e9")

sys.exit(run_command(prints, "prints"))
"""


def printing(shell: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a shell's line in which PRINTS is a command that prints three lines."""
    command = f'{sys.executable} -c "$PRINTS"'
    line = shell.replace("PRINTS", command)
    return subprocess.run(["bash", "-c", line], env={**os.environ, "PRINTS": PRINTS}, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("shell", "code", "out", "err"),
    [
        (
            "PRINTS >&-",
            2,
            "",
            "error: the standard output must be open to print results, and it is closed; send it to /dev/null\n",
        ),
        ("{ sleep 0.2; PRINTS; } | true; exit ${PIPESTATUS[0]}", 141, "", ""),
        ("{ sleep 0.2; PRINTS --rich; } | true; exit ${PIPESTATUS[0]}", 141, "", ""),
        (
            "PRINTS > /dev/full",
            2,
            "",
            "error: a file, or the standard output, cannot be read or written: No space left on device; free some "
            "space on the disk, or write to another one\n",
        ),
        ("PRINTS 2>&-", 0, "café\n" * 3, ""),
        ("PYTHONIOENCODING=ascii PRINTS --rich", 0, "caf\\xe9\n" * 3, ""),
    ],
)
def test_standard_output(shell: str, code: int, out: str, err: str) -> None:
    done = printing(shell)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (code, out, err)


def running(action: Callable[[], object]) -> int:
    return run_command(click.Command("acts", callback=action), "acts", [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.EISDIR, "Is a directory", "here"),
            "here cannot be read or written: Is a directory; name a file, not a folder",
        ),
        (
            OSError(errno.EIO, "Input/output error", "x"),
            "x cannot be read or written: Input/output error; check the file",
        ),
        (OSError("no number"), "a file, or the standard output, cannot be read or written: no number; check the file"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise error

    assert running(fails) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"error: {line}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_one_line_and_lets_the_command_clean_up(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def waits() -> None:
        try:
            signal.raise_signal(number)
            time.sleep(60)
        finally:
            (tmp_path / "cleaned").touch()

    assert running(waits) == 2
    assert capsys.readouterr().err.strip() == INTERRUPTED
    assert (tmp_path / "cleaned").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


IMPORTS = """
import signal
from hdl.interrupts import end_when_interrupted, interruptible
end_when_interrupted()
{then}
signal.raise_signal(signal.SIGINT)
"""


def test_an_interrupt_while_python_imports_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS.format(then="")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"{INTERRUPTED}\n")


def test_an_interrupt_of_a_command_is_an_exception_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_interrupted()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("module", ["hdl.top", "sim", "sim.spatial_llm"])
def test_every_command_begins_with_that(module: str) -> None:
    """Before any import that takes time."""
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    before = source[: source.index("end_when_interrupted()\n")]
    imports = [line for line in before.splitlines() if line.startswith(("import ", "from "))]
    assert [line for line in imports if line != "import sys"] == ["from hdl.interrupts import end_when_interrupted"]
