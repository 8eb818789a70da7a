"""What the manifest says of a kernel."""

from collections.abc import Mapping
from typing import Any

from ...card.image import HEADER_BEATS
from ...card.registers import VERSION
from ...channel import BEAT_BYTES
from ..kernel.description import describe_kernel
from ..kernel.kernel_spec import KernelSpec
from .banks import buffer_beats
from .ip_facts import PROTOCOL, vlnv

__all__ = ["instance", "kernel_manifest"]


def kernel_manifest(spec: KernelSpec, banks: Mapping[str, int], platform: str) -> dict[str, Any]:
    """`describe_kernel`, and what it is on a card: its compute unit, the Vitis platform, the version of the layout of
    registers; the ports, each with its bank, the bytes of its buffer (0: as the host asks) and the arguments that point
    there; the registers with their byte addresses.

    ``banks``: the bank of memory of each port.
    """
    return describe_kernel(spec) | {
        "instance": instance(spec),
        "vlnv": vlnv(spec),
        "protocol": PROTOCOL,
        "platform": platform,
        "layout_version": VERSION,
        "header_beats": HEADER_BEATS,
        "ports": [
            {
                "name": port.name, "bus": port.bus, "writes": port.writes, "bank": banks[port.name],
                "buffer_bytes": buffer_beats(port) * BEAT_BYTES, "pointers": list(port.pointers),
            }
            for port in spec.ports
        ],
        "registers": [
            {"name": register.name, "offset": register.offset, "bits": register.bits, "writable": register.writable}
            for register in spec.registers.registers
        ],
    }  # fmt: skip


def instance(spec: KernelSpec) -> str:
    """The name of the kernel's only compute unit."""
    return f"{spec.name}_1"
