"""The kernels of the tests, and the Verilog of their top modules alone, which takes no time."""

import re
from functools import cache
from typing import Any

from amaranth.lib import wiring

from hdl.top.emitter import Emitter, VerilogModule
from hdl.top.kernel.kernel_spec import KernelSpec
from hdl.top.kernel.pins import KernelPins
from hdl.top.reset_tree import ResetPins

from ..decoder.designs import FAR, SMALL
from ..designs import TINY as ENCODER

KERNELS = {name: KernelSpec(spec) for name, spec in {"small": SMALL, "far": FAR, "encoder": ENCODER}.items()}
"""A decoder; one with keys and values off chip, whose masters write, too; an encoder."""


class TopEmitter(Emitter):
    """Emits the module of a component, and only names the modules in it."""

    def _module(self, component: wiring.Component, name: str | None = None) -> str:
        if name is not None:
            return super()._module(component, name)
        kind = type(component).__name__.lower()
        self.modules[kind] = VerilogModule(kind, kind, component.spec)
        self._rtlil[kind] = ""
        self._clocked[kind] = {"clk", "rst"}
        self._resets[kind] = ResetPins(loads=1, depth=0)
        return kind

    @staticmethod
    def _text(name: str, verilog: dict[str, str]) -> str:
        return verilog.get(name, "")


@cache
def top_module(spec: KernelSpec) -> str:
    """The Verilog of the top module of a kernel."""
    return TopEmitter().emit(KernelPins(spec), spec.name)[f"{spec.name}.v"]


def top_emission(monkeypatch: Any) -> None:
    """Lets emissions have the top module alone."""
    monkeypatch.setattr("hdl.top.emit.Emitter", TopEmitter)


def declared_ports(spec: KernelSpec) -> dict[str, tuple[str, int]]:
    """The direction and the width of each port of the Verilog."""
    found = re.findall(r"^  (in|out)put (?:\[(\d+):0\] )?(\w+);", top_module(spec), re.MULTILINE)
    return {name: (direction, int(high or 0) + 1) for direction, high, name in found}
