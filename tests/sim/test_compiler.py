"""The C++ compiler is tried before anything is built, and what is wrong with it is one line."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim import compiler
from sim.command import main
from sim.programs import BuildError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No compiler is known yet, and none has been tried."""
    monkeypatch.setenv("SPATIAL_LLM_CACHE", str(tmp_path / "cache"))
    for known in (compiler.compiler, compiler.compiler_version):
        known.cache_clear()
    yield
    for known in (compiler.compiler, compiler.compiler_version):
        known.cache_clear()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Makes a program of the shell."""

    def write(text: str) -> str:
        path = tmp_path / "a compiler"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return f"'{path}' -m64"

    return write


def refused() -> str:
    with pytest.raises(BuildError) as error:
        compiler.check_compiler()
    return str(error.value)


def test_a_compiler_that_works_is_tried_once(script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = next(found for name in ("c++", "g++", "clang++") if (found := shutil.which(name)))
    monkeypatch.setenv("CXX", script(f'[ "$2" = --version ] || echo run >> "$0.log"; shift; exec {real} "$@"'))
    compiler.check_compiler()
    compiler.check_compiler()
    assert Path(f"{compiler.compiler()[0]}.log").read_text() == "run\n"


def test_the_path_of_a_compiler_counts_from_where_the_command_began(
    script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script("exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "'./a compiler' -O")
    assert compiler.compiler() == [str(tmp_path / "a compiler"), "-O"]


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused() == (
        "a C++ compiler must be installed to build the simulation, and none of c++, g++ and clang++ is on the PATH; "
        "install one, or name it in CXX"
    )


def test_cxx_that_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    assert refused() == (
        "CXX must name a C++ compiler, and there is no program 'no-such-compiler'; name another, or unset it"
    )


def test_cxx_that_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "'g++")
    assert refused() == """CXX must be a command such as g++, not "'g++": No closing quotation"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 3", "a compiler failed with exit code 3: it said nothing"),
        (
            '[ "$2" = --version ] && exit; echo "error: unrecognized option -std=c++17" >&2; exit 1',
            "a compiler failed with exit code 1: error: unrecognized option -std=c++17",
        ),
        ("kill -9 $$", "a compiler was ended by signal 9: it said nothing"),
        ("exit 0", "it wrote no library"),
        ('for to; do [ "$before" = -o ] && echo text > "$to"; before=$to; done; true', "the library cannot be used: "),
    ],
)
def test_a_compiler_that_fails(
    text: str, reason: str, script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = script(text)
    monkeypatch.setenv("CXX", command)
    line = refused()
    assert line.startswith(f"the C++ compiler {command} must make a library of C++17 that runs here; {reason}")
    assert line.endswith("; name another one in CXX")


def test_the_command_refuses_before_it_plans(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("sim.demonstration.plan", None)
    for arguments in (
        ["--model", "tiny-bert", "--random-weights", "--text", "Hi"],
        ["--model", "tiny-gpt2", "--prompt", "Hi"],
    ):
        assert main(arguments) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err == (
            "error: CXX must name a C++ compiler, and there is no program 'no-such-compiler'; "
            "name another, or unset it\n"
        )
