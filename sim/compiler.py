"""The C++ compiler: which one it is, and a trial of it before anything else is built."""

import ctypes
import os
import platform
import shlex
import shutil
from functools import cache
from pathlib import Path

from hdl.errors import InputError
from sim.cache import cached, key
from sim.programs import BuildError, Programs

__all__ = ["STANDARD", "check_compiler", "compiler", "compiler_version", "is_gcc"]

STANDARD = "-std=c++17"
"""Of C++, for Verilator's runtime and what it writes."""

_PROBE = """
#include <string_view>

extern "C" int answer() { return static_cast<int>(std::string_view("C++17").size()); }
"""
_ANSWER = 5


@cache
def compiler() -> list[str]:
    """The command of the C++ compiler, with its path: `$CXX`, or the first one there is.

    Raises:
        BuildError: where there is none.
    """
    named = os.environ.get("CXX", "").strip()
    try:
        chosen = shlex.split(named)
    except ValueError as error:
        raise BuildError(f"CXX must be a command such as g++, not {named!r}: {error}") from None
    for candidate in [chosen] if chosen else [["c++"], ["g++"], ["clang++"]]:
        if found := shutil.which(candidate[0]):
            return [str(Path(found).absolute()), *candidate[1:]]  # it is run in other folders
    if chosen:
        raise BuildError(
            f"CXX must name a C++ compiler, and there is no program {chosen[0]!r}; name another, or unset it"
        )
    raise BuildError(
        "a C++ compiler must be installed to build the simulation, and none of c++, g++ and clang++ is on the PATH; "
        "install one, or name it in CXX"
    )


@cache
def compiler_version() -> str:
    """The first line of what the compiler says of itself.

    Raises:
        BuildError: where there is no compiler, or it fails.
    """
    with Programs() as programs:
        said = programs.run([*compiler(), "--version"])
    return next(iter(said.splitlines()), "")


@cache
def is_gcc() -> bool:
    """Whether the compiler is GCC, and not Clang, which also answers to GCC's names.

    Raises:
        BuildError: where there is no compiler, or it fails.
    """
    with Programs() as programs:
        macros = programs.run([*compiler(), "-dM", "-E", "-x", "c++", os.devnull])
    return "__GNUC__" in macros and "__clang__" not in macros


def check_compiler() -> None:
    """Compiles and runs a few lines of C++17, once for each compiler.

    Raises:
        BuildError: where there is no compiler, it fails, or what it makes does not run here.
    """
    program = shlex.join(compiler())
    try:
        cached("compiler", key([compiler(), compiler_version(), platform.machine(), _PROBE]), _probe)
    except BuildError as error:
        raise BuildError(
            f"the C++ compiler {program} must make a library of C++17 that runs here; {error}; name another one in CXX"
        ) from error


def _probe(folder: Path) -> None:
    """Builds the probe in a folder, and runs it."""
    source, library = folder / "probe.cpp", folder / "probe.so"
    source.write_text(_PROBE)
    with Programs() as programs:
        command = [*compiler(), STANDARD, "-fPIC", "-shared", str(source), "-o", str(library)]
        programs.run(command, folder=folder, environment={"TMPDIR": str(folder)})
    if not library.is_file():
        raise BuildError("it wrote no library")
    try:
        answer = ctypes.CDLL(str(library)).answer()
    except (OSError, AttributeError) as error:
        if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
            raise InputError(
                f"the build cache must be where programs may run, and {folder.parent} is on a disk that is mounted "
                "with noexec; set SPATIAL_LLM_CACHE to another folder"
            ) from error
        raise BuildError(f"the library cannot be used: {error}") from error
    if answer != _ANSWER:
        raise BuildError(f"the library answers {answer} in place of {_ANSWER}")
