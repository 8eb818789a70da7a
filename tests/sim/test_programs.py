"""The programs of a build: what they print, how they fail, and that none outlives its build."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sim.programs import BuildError, Programs


def test_what_a_program_prints_in_its_folder_and_environment(tmp_path: Path) -> None:
    with Programs() as programs:
        said = programs.run(["sh", "-c", "pwd; echo $WORD >&2; cat"], folder=tmp_path, environment={"WORD": "here"})
    assert said == f"{tmp_path}\nhere\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "sh failed with exit code 3: it said nothing"),
        ("echo one; echo; echo two; exit 1", "sh failed with exit code 1: two"),
        (
            "echo In file a.cpp; echo 'a.cpp:1: fatal error: no b.h'; echo 'error: two'; exit 1",
            "sh failed with exit code 1: a.cpp:1: fatal error: no b.h",
        ),
        ("printf 'error: \\377\\n'; exit 1", "sh failed with exit code 1: error: \ufffd"),
        ("kill -9 $$", "sh was ended by signal 9: it said nothing"),
    ],
)
def test_a_program_that_fails_is_a_line_and_all_it_said_is_in_a_note(script: str, message: str) -> None:
    with Programs() as programs, pytest.raises(BuildError) as error:
        programs.run(["sh", "-c", script])
    assert str(error.value) == message
    assert message.rpartition(": ")[2].replace("it said nothing", "") in error.value.__notes__[0]


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    with Programs() as programs, pytest.raises(BuildError) as error:
        programs.run([str(tmp_path)])
    assert str(error.value) == f"{tmp_path} cannot be run: Permission denied"


def test_the_first_to_fail_ends_those_beside_it_and_none_is_begun() -> None:
    def run(script: str) -> str:
        return programs.run(["sh", "-c", script])

    begun = time.monotonic()
    with (
        pytest.raises(BuildError, match="^sh failed with exit code 1"),
        ThreadPoolExecutor(2) as pool,
        Programs() as programs,
    ):
        list(pool.map(run, ["exit 1", "sleep 60"]))
    assert time.monotonic() - begun < 30
    with pytest.raises(BuildError, match="^the build has ended$"):
        run("exit 0")


BUILDS = """
import sys
from concurrent.futures import ThreadPoolExecutor

import click

from hdl.top.console import run_command
from sim.cache import cached
from sim.programs import Programs


def build(folder):
    with ThreadPoolExecutor(2) as pool, Programs() as programs:
        # Two programs, each with one of its own, which holds the pipe open as long as it lives.
        script = ["sh", "-c", "(echo; exec sleep 60) > $PIPE & wait"]
        list(pool.map(lambda _: programs.run(script, folder=folder), range(2)))


sys.exit(run_command(click.Command("builds", callback=lambda: cached("kind", "name", build)), "builds", []))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_leaves_neither_files_nor_processes(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPATIAL_LLM_CACHE", str(tmp_path))
    monkeypatch.setenv("PIPE", str(tmp_path / "pipe"))
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", BUILDS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        pipe, begun = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), 0
        while begun < 2:  # a byte of each
            assert process.poll() is None
            with suppress(BlockingIOError):
                begun += len(os.read(pipe, 1))
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    ended = time.monotonic()
    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) == b""  # which waits as long as one of them lives
    assert time.monotonic() - ended < 30
    os.close(pipe)
    assert (process.returncode, said.strip()) == (2, "interrupted; nothing was written")
    assert list((tmp_path / "kind").iterdir()) == []
