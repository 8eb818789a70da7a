"""The files of the flow vivado: scripts and constraints that implement a bare pipeline out of context."""

from typing import Any

from amaranth.lib import wiring

from ...perf.device import Device
from ..emitter import PRIMITIVE_DEFINE
from ..manifest import ports
from .templates import fill

__all__ = ["vivado_files", "vivado_manifest"]


def vivado_files(device: Device, top: str) -> dict[str, str]:
    """The texts by path, for the pipeline of the module ``top``."""
    return {
        "constraints/ooc.xdc": fill("vivado/ooc.xdc", period_ns=f"{1000 / device.clock_mhz:.3f}"),
        "implement.tcl": fill("vivado/implement.tcl", part=str(device.part), top=top, define=PRIMITIVE_DEFINE),
    }


def vivado_manifest(pipeline: wiring.Component, top: str) -> dict[str, Any]:
    """What the manifest says of the Verilog of a bare pipeline: its clock and reset, and the streams at its ports."""
    verilog = {
        "top": top, "clock": "clk", "reset": "rst (synchronous, active high)", "dsp48e2_define": PRIMITIVE_DEFINE,
    }  # fmt: skip
    return {"verilog": verilog, "ports": list(ports(pipeline))}
