"""What emitted Verilog takes of an UltraScale+ FPGA, by Yosys: every module on its own, times its instances.

emitter = Emitter()
emitter.emit(Pipeline(spec), "pipeline")
own = synthesise(emitter.modules)              # each module without the modules below it
everything = rolled_up(emitter.modules, own)   # each module with all that is below it
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from hdl.resources import Resources
from hdl.top.emitter import VerilogModule
from sim.mapping import map_modules

__all__ = ["rolled_up", "synthesise"]

_KINDS = {"DSP48E2": "dsp", "URAM288": "uram", "RAMB36E2": "bram36", "RAMB18E2": "bram36"}
# Cells that take LUTs as memory; besides, what is called LUT... is a LUT, and what is called FD... a flip-flop.
_LUTS = {"SRL16E": 1, "SRLC32E": 1, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}


def synthesise(
    modules: Mapping[str, VerilogModule], *, processes: int = 2, progress: Callable[[int], None] | None = None
) -> dict[str, Resources]:
    """The resources of each module by itself, without those of the modules it instantiates (see `map_modules`)."""
    netlists = map_modules(modules, processes=processes, progress=progress)
    return {name: _counted(netlist.counts) for name, netlist in netlists.items()}


def rolled_up(modules: Mapping[str, VerilogModule], own: Mapping[str, Resources]) -> dict[str, Resources]:
    """The resources of each module with all that is below it."""

    @cache
    def everything(name: str) -> Resources:
        below = (everything(child) * count for child, count in modules[name].instances.items())
        return sum(below, own[name])

    return {name: everything(name) for name in modules}


def _counted(cells: Mapping[str, int]) -> Resources:
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
