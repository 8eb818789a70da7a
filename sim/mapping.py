"""Emitted Verilog as cells of an UltraScale+ FPGA, by Yosys: every module on its own.

A module is flattened with the parts that only it has; the modules it instantiates stay what they are, so each is mapped
once however often it occurs. It takes seconds a module, so what was found is kept in the cache.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path

from hdl.top.emitter import VerilogModule
from sim.cache import cached, find, key
from sim.netlist import Netlist
from sim.yosys import PRIMITIVES, run_yosys, shared_file, yosys_version

__all__ = ["interface", "map_modules"]

# Registers whose signal has the attribute `keep` are not merged with equal ones, as in Vivado.
_READ = (
    f"read_verilog -lib -specify +/xilinx/cells_sim.v; {PRIMITIVES}; hierarchy -check -top batch; "
    "proc; setattr -set keep 1 w:* a:keep=true %i %ci1 t:$*dff* %i"
)
_XILINX = "synth_xilinx -family xcup -top batch -flatten -noiopad -run"
_SMALLEST = f"{_READ}; {_XILINX} prepare:; write_json netlist.json"
# The same steps, but without the pass that moves an enable into LUTs wherever this saves one.
_FASTEST = (
    f"{_READ}; {_XILINX} prepare:map_luts; opt_expr -mux_undef -noclkinv; abc -luts 2:2,3,6:5,10,20; clean; "
    "xilinx_srl -fixed -minlen 3; techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6; "
    f"opt_lut_ins -tech xilinx; {_XILINX} finalize:; write_json netlist.json"
)
_BATCH = 300_000  # characters of Verilog that a program takes at once
_START = 100_000  # characters that take about as long as a program's start
_FILE = "netlist.json"


def map_modules(
    modules: Mapping[str, VerilogModule],
    *,
    names: Collection[str] | None = None,
    fastest: bool = False,
    processes: int = 2,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Netlist]:
    """The netlist of each module, or of those of these ``names``; the modules that it instantiates are cells.

    By default Yosys saves LUTs: it may move the enable of flip-flops into the LUTs before them, and so lets a net drive
    each LUT. With ``fastest`` enables stay enables. ``processes`` programs run at a time; ``progress`` is told, as they
    come, how many modules are done.

    Raises:
        BuildError: where Yosys refuses a module.
    """
    script = _FASTEST if fastest else _SMALLEST
    keys = {name: _ingredients(modules, name, script) for name in (modules if names is None else names)}
    results = {name: find("mapping", keys[name]) for name in keys}
    missing = [name for name in keys if results[name] is None]
    done = len(keys) - len(missing)
    with ThreadPoolExecutor(processes) as pool:
        for found in pool.map(partial(_map, modules, script), _batches(modules, missing, processes)):
            for name, netlist in found.items():
                results[name] = cached("mapping", keys[name], partial(_keep, netlist))
            done += len(found)
            if progress is not None:
                progress(done)
    return {name: Netlist.read((folder / _FILE).read_text()) for name, folder in results.items() if folder}


def interface(module: VerilogModule) -> str:
    """A module's ports alone: a black box."""
    body = module.text[module.text.index(f"module {module.name}(") :].split("endmodule", 1)[0]
    ports = re.findall(r"^  (?:input|output) .*;$", body, flags=re.M)
    return "\n".join(["(* blackbox *)", body[: body.index(";") + 1], *ports, "endmodule", ""])


def _ingredients(modules: Mapping[str, VerilogModule], name: str, script: str) -> str:
    """A result depends on the module's text and on the ports of what it instantiates."""
    ports = [interface(modules[child]) for child in sorted(modules[name].instances)]
    return key([modules[name].text, ports, script, yosys_version()])


def _batches(modules: Mapping[str, VerilogModule], names: Sequence[str], processes: int) -> list[list[str]]:
    """The modules in batches of about one size, no more than there is work for that is worth a program's start."""
    size = {name: len(modules[name].text) for name in names}
    total = sum(size.values())
    count = min(len(names), max(min(processes, ceil(total / _START)), ceil(total / _BATCH)))
    batches: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(names, key=lambda name: -size[name]):
        min(batches, key=lambda batch: sum(size[one] for one in batch)).append(name)
    return batches


def _map(modules: Mapping[str, VerilogModule], script: str, batch: Sequence[str]) -> dict[str, Netlist]:
    """The netlist of each module of a batch."""
    below = {child for name in batch for child in modules[name].instances} - set(batch)
    files = {f"{name}.v": interface(modules[name]) for name in sorted(below)}
    for name in batch:
        files[f"{name}.v"] = modules[name].text.replace(f"\nmodule {name}(", f"\n(* keep_hierarchy *)\nmodule {name}(")
    instances = "".join(f"(* keep *) {name} instance_{name} ();\n" for name in batch)
    files["batch.v"] = f"module batch();\n{instances}endmodule\n"
    # Instead of Yosys' own file of that name: the RAMs' initial contents, which take seconds and count for nothing.
    files["brams_defs.vh"] = re.sub(r"\n\t\.INITP?_.*", "", shared_file("xilinx/brams_defs.vh"))
    found = json.loads(run_yosys(files, script, [_FILE])[_FILE])["modules"]
    return {name: Netlist.of(name, found[name]) for name in batch}


def _keep(netlist: Netlist, folder: Path) -> None:
    (folder / _FILE).write_text(netlist.write())
