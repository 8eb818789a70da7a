"""The parts of the shell side by side, in full size, for cocotb: a reader, a writer and the control registers."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl.card.axi import MasterSpec
from hdl.card.control import RunControl
from hdl.card.masters import ReadMaster, WriteMaster
from hdl.card.registers import Argument, RegisterMap

from ..contracts import through

REGISTERS = RegisterMap(
    arguments=(Argument("tokens"), Argument("weights", 64, "m_axi_0"), Argument("layers")),
    counters=("cycles", "beats"),
    design_hash=0x0123456789ABCDEF,
)


class Parts(wiring.Component):
    """Members: those of a `ReadMaster` (``reader``), a `WriteMaster` (``writer``) and a `RunControl` (``control``)."""

    def __init__(self) -> None:
        spec = MasterSpec()
        self.parts = {"reader": ReadMaster(spec), "writer": WriteMaster(spec), "control": RunControl(REGISTERS)}
        super().__init__({name: Out(part.signature) for name, part in self.parts.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            for member in part.signature.members:
                through(m, part, member, getattr(getattr(self, name), member))
        return m
