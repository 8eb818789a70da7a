"""What emitted Verilog takes of an UltraScale+ FPGA, by Yosys: every module on its own, times its instances.

    emitter = Emitter()
    emitter.emit(Pipeline(spec), "pipeline")
    own = synthesise(emitter.modules)              # each module without the modules below it
    everything = rolled_up(emitter.modules, own)   # each module with all that is below it

A module is flattened with the parts that only it has; the modules it instantiates stay what they are, so each is mapped
once however often it occurs. It takes seconds a module, so what was found is kept in the cache.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from math import ceil
from pathlib import Path
from typing import Any

from hdl.resources import Resources
from hdl.top.emitter import VerilogModule
from sim.cache import cached, find, key
from sim.yosys import PRIMITIVES, run_yosys, shared_file, yosys_version

__all__ = ["interface", "rolled_up", "synthesise"]

Cells = dict[str, int]
"""How many cells of each type."""

_SYNTHESIS = (
    f"read_verilog -lib -specify +/xilinx/cells_sim.v; {PRIMITIVES}; hierarchy -check -top batch; "
    "synth_xilinx -family xcup -top batch -flatten -noiopad -run prepare:; tee -q -o stat.json stat -json"
)
_BATCH = 300_000  # characters of Verilog that a program takes at once
_START = 100_000  # characters that take about as long as a program's start
_KINDS = {"DSP48E2": "dsp", "URAM288": "uram", "RAMB36E2": "bram36", "RAMB18E2": "bram36"}
# Cells that take LUTs as memory; besides, what is called LUT... is a LUT, and what is called FD... a flip-flop.
_LUTS = {"SRL16E": 1, "SRLC32E": 1, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}


def synthesise(
    modules: Mapping[str, VerilogModule], *, processes: int = 2, progress: Callable[[int], None] | None = None
) -> dict[str, Resources]:
    """The resources of each module by itself, without those of the modules it instantiates.

    ``processes`` programs run at a time; ``progress`` is told, as they come, how many modules are done.

    Raises:
        BuildError: where Yosys refuses a module.
    """
    keys = {name: _ingredients(modules, name) for name in modules}
    results = {name: find("synthesis", keys[name]) for name in modules}
    missing = [name for name in modules if results[name] is None]
    done = len(modules) - len(missing)
    with ThreadPoolExecutor(processes) as pool:
        for found in pool.map(partial(_map, modules), _batches(modules, missing, processes)):
            for name, cells in found.items():
                results[name] = cached("synthesis", keys[name], partial(_keep, cells))
            done += len(found)
            if progress is not None:
                progress(done)
    return {
        name: _counted(json.loads((folder / "cells.json").read_text())) for name, folder in results.items() if folder
    }


def rolled_up(modules: Mapping[str, VerilogModule], own: Mapping[str, Resources]) -> dict[str, Resources]:
    """The resources of each module with all that is below it."""

    @cache
    def everything(name: str) -> Resources:
        below = (everything(child) * count for child, count in modules[name].instances.items())
        return sum(below, own[name])

    return {name: everything(name) for name in modules}


def interface(module: VerilogModule) -> str:
    """A module's ports alone: a black box."""
    body = module.text[module.text.index(f"module {module.name}(") :].split("endmodule", 1)[0]
    ports = re.findall(r"^  (?:input|output) .*;$", body, flags=re.M)
    return "\n".join(["(* blackbox *)", body[: body.index(";") + 1], *ports, "endmodule", ""])


def _ingredients(modules: Mapping[str, VerilogModule], name: str) -> str:
    """A result depends on the module's text and on the ports of what it instantiates."""
    ports = [interface(modules[child]) for child in sorted(modules[name].instances)]
    return key([modules[name].text, ports, _SYNTHESIS, yosys_version()])


def _batches(modules: Mapping[str, VerilogModule], names: Sequence[str], processes: int) -> list[list[str]]:
    """The modules in batches of about one size, no more than there is work for that is worth a program's start."""
    size = {name: len(modules[name].text) for name in names}
    total = sum(size.values())
    count = min(len(names), max(min(processes, ceil(total / _START)), ceil(total / _BATCH)))
    batches: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(names, key=lambda name: -size[name]):
        min(batches, key=lambda batch: sum(size[one] for one in batch)).append(name)
    return batches


def _map(modules: Mapping[str, VerilogModule], batch: Sequence[str]) -> dict[str, Cells]:
    """The cells of each module of a batch."""
    below = {child for name in batch for child in modules[name].instances} - set(batch)
    files = {f"{name}.v": interface(modules[name]) for name in sorted(below)}
    for name in batch:
        files[f"{name}.v"] = modules[name].text.replace(f"\nmodule {name}(", f"\n(* keep_hierarchy *)\nmodule {name}(")
    instances = "".join(f"(* keep *) {name} instance_{name} ();\n" for name in batch)
    files["batch.v"] = f"module batch();\n{instances}endmodule\n"
    # Instead of Yosys' own file of that name: the RAMs' initial contents, which take seconds and count for nothing.
    files["brams_defs.vh"] = re.sub(r"\n\t\.INITP?_.*", "", shared_file("xilinx/brams_defs.vh"))
    stat = json.loads(run_yosys(files, _SYNTHESIS, ["stat.json"])["stat.json"])
    return {name: stat["modules"][f"\\{name}"]["num_cells_by_type"] for name in batch}


def _keep(cells: Cells, folder: Path) -> None:
    (folder / "cells.json").write_text(json.dumps(cells))


def _counted(cells: Cells) -> Resources:
    total = Resources()
    for cell, count in cells.items():
        if cell in _KINDS:
            blocks: dict[str, Any] = {_KINDS[cell]: count / 2 if cell == "RAMB18E2" else count}
            total += Resources(**blocks)
        elif cell.startswith("LUT") or cell in _LUTS:
            total += Resources(lut=count * _LUTS.get(cell, 1))
        elif cell.startswith("FD"):
            total += Resources(ff=count)
    return total
