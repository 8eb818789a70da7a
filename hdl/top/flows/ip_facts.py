"""What all descriptions of a kernel as an IP say: its name, the names of its registers, the parameters of its buses."""

from collections.abc import Mapping

from ...card.registers import Register
from ..kernel.kernel_spec import KernelPort, KernelSpec

__all__ = ["LIBRARY", "PROTOCOL", "VENDOR", "VERSION", "bus_of", "bus_parameters", "register_name", "vlnv"]

VENDOR, LIBRARY, VERSION = "spatial-llm", "kernel", "1.0"
"""The parts of an IP's name beside its own."""

PROTOCOL = "ap_ctrl_chain"
"""The control protocol of the kernels."""

RESERVED = {"control": "CTRL", "interrupt_enable": "GIER", "interrupt_sources": "IP_IER", "interrupt_status": "IP_ISR"}
"""The names that Vitis has for the registers before the arguments."""


def vlnv(spec: KernelSpec) -> str:
    """The name of the IP: vendor, library, name and version."""
    return f"{VENDOR}:{LIBRARY}:{spec.name}:{VERSION}"


def register_name(register: Register) -> str:
    """The name of a register in descriptions for Vitis."""
    return RESERVED.get(register.name, register.name)


def bus_of(spec: KernelSpec, register: Register) -> str | None:
    """The AXI4 master to whose buffer a register points; None for a register that is no pointer."""
    return next((argument.bus for argument in spec.registers.arguments if argument.name == register.name), None)


def bus_parameters(spec: KernelSpec, port: KernelPort) -> Mapping[str, str]:
    """What the interconnect may know of a master, by the names that AMD has for it."""
    master = spec.master
    outstanding = {"NUM_READ_OUTSTANDING": master.outstanding}
    if port.writes:
        outstanding["NUM_WRITE_OUTSTANDING"] = master.outstanding
    mode = "READ_WRITE" if port.writes else "READ_ONLY"
    numbers = {"MAX_BURST_LENGTH": master.page_beats, **outstanding, "SUPPORTS_NARROW_BURST": 0}
    return {"READ_WRITE_MODE": mode} | {name: str(number) for name, number in numbers.items()}
