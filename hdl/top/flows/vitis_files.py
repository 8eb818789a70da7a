"""The files of the flow vitis: descriptions of a kernel, and scripts that package it and link it to a card's shell."""

from collections.abc import Iterable, Mapping
from typing import Any

from ...card.registers import ADDRESS_BITS
from ...perf.designs.budget import shortfall
from ...perf.device import Device
from ..emitter import PRIMITIVE_DEFINE
from ..kernel.kernel_spec import KernelSpec
from ..kernel.pins import CONTROL_BUS
from .banks import KNOWN_MASTERS, banks
from .component_xml import CLOCK, INTERRUPT, RESET, component_xml
from .flow import PLATFORMS
from .ip_facts import LIBRARY, PROTOCOL, VENDOR, VERSION, bus_of, bus_parameters, register_name
from .kernel_manifest import instance, kernel_manifest
from .kernel_xml import kernel_xml
from .templates import fill

__all__ = ["for_synthesis", "vitis_files", "vitis_manifest"]

CONSTRAINTS = "constraints/kernel_ooc.xdc"


def for_synthesis(verilog: Mapping[str, str]) -> dict[str, str]:
    """Verilog whose primitives are selected by Vivado's synthesis itself, which sets the macro SYNTHESIS: a packaged IP
    has no defines of its own. In a simulation it has the twins of the primitives."""
    select = f"`ifdef SYNTHESIS\n`ifndef {PRIMITIVE_DEFINE}\n`define {PRIMITIVE_DEFINE}\n`endif\n`endif\n"
    return {name: select + text if PRIMITIVE_DEFINE in text else text for name, text in verilog.items()}


def vitis_files(spec: KernelSpec, device: Device, sources: Iterable[str]) -> dict[str, str]:
    """The texts by path; ``sources``: the paths of the Verilog.

    Raises:
        InputError: for a kernel whose channels do not fit the banks of the device.
    """
    clock_hz = round(device.clock_mhz * 1e6)
    common = {"kernel": spec.name, "platform": PLATFORMS[device.name]}
    return {
        "component.xml": component_xml(spec, sources, CONSTRAINTS, clock_hz),
        "kernel.xml": kernel_xml(spec),
        CONSTRAINTS: fill("vitis/kernel_ooc.xdc", clock=CLOCK, period_ns=f"{1000 / device.clock_mhz:.3f}"),
        "package_kernel.tcl": package_script(spec, device, clock_hz),
        "gen_xo.tcl": fill("vitis/gen_xo.tcl", kernel=spec.name, protocol=PROTOCOL),
        "link.cfg": fill(
            "vitis/link.cfg", clock_mhz=str(int(device.clock_mhz)), connectivity=connectivity(spec, device)
        ),
        "Makefile": fill("vitis/Makefile", **common),
        "README.md": fill(
            "vitis/README.md", **common, instance=instance(spec), board=device.board, memory=device.memory.name,
            clock=f"{device.clock_mhz:g}", hash=f"{spec.design_hash:016x}", ports=str(len(spec.ports)),
            doubt=doubt(spec), table=port_table(spec, device),
        ),
    }  # fmt: skip


def vitis_manifest(spec: KernelSpec, device: Device) -> dict[str, Any]:
    """What the manifest says of the kernel and its Verilog."""
    verilog = {
        "top": spec.name, "clock": CLOCK, "reset": f"{RESET} (synchronous, active low)",
        "dsp48e2_define": PRIMITIVE_DEFINE,
    }  # fmt: skip
    found = kernel_manifest(spec, banks(spec, device.memory), PLATFORMS[device.name])
    return {"verilog": verilog, "kernel": found}


def package_script(spec: KernelSpec, device: Device, clock_hz: int) -> str:
    """The script that packages the kernel as an IP."""
    masters = (f"    {port.bus} {{{told(bus_parameters(spec, port))}}}" for port in spec.ports)
    registers = (
        f"    {register_name(register)} {register.offset:#05x} {register.bits} "
        f"{'read-write' if register.writable else 'read-only'} {bus_of(spec, register) or '{}'} {{{register.about}}}"
        for register in spec.registers.registers
    )
    return fill(
        "vitis/package_kernel.tcl", kernel=spec.name, part=str(device.part), vendor=VENDOR, library=LIBRARY,
        version=VERSION, protocol=PROTOCOL, clock=CLOCK, reset=RESET, interrupt=INTERRUPT, clock_hz=str(clock_hz),
        control=CONTROL_BUS, range=str(1 << ADDRESS_BITS), masters="\n".join(masters), registers="\n".join(registers),
    )  # fmt: skip


def told(names: Mapping[str, str]) -> str:
    """Names and values as a list of Tcl."""
    return " ".join(f"{name} {value}" for name, value in names.items())


def connectivity(spec: KernelSpec, device: Device) -> str:
    """The lines of v++ that say which compute units there are, and where they and their ports lie."""
    unit, slr = instance(spec), device.memory.slr
    lines = [f"nk={spec.name}:1:{unit}"]
    if one_slr(spec, device):
        lines.append(f"slr={unit}:SLR{slr}")
    else:
        lines.append("# The kernel is larger than an SLR, so it is assigned to none: v++ places it over several.")
    return "\n".join([*lines, *(f"sp={unit}.{bus}:HBM[{bank}]" for bus, bank in buses(spec, device).items())])


def one_slr(spec: KernelSpec, device: Device) -> bool:
    """Whether the pipeline fits into the SLR at the memory, at the shares that designs are planned for."""
    return shortfall(spec.pipeline.resources, device.slrs[device.memory.slr].resources) is None


def buses(spec: KernelSpec, device: Device) -> dict[str, int]:
    """The bank of each master."""
    found = banks(spec, device.memory)
    return {port.bus: found[port.name] for port in spec.ports}


def doubt(spec: KernelSpec) -> str:
    """What is said of a kernel with more masters than v++ is known to link."""
    if len(spec.ports) <= KNOWN_MASTERS:
        return ""
    return (
        f"\nAn earlier platform of the U50 had room for {KNOWN_MASTERS} masters on its HBM. If `make link` stops with\n"
        "`Resources exhausted for HBM`, emit the design again with a smaller `--share`.\n"
    )


def port_table(spec: KernelSpec, device: Device) -> str:
    """The rows of the table of ports."""
    found = buses(spec, device)
    return "\n".join(
        f"| `{port.bus}` | {'reads and writes' if port.writes else 'reads'} | HBM[{found[port.bus]}] | "
        f"{', '.join(f'`{name}`' for name in port.pointers)} |"
        for port in spec.ports
    )
