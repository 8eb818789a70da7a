"""What the manifest says of a kernel: a driver needs nothing else to run it."""

from collections.abc import Mapping
from typing import Any

from ...card.image import HEADER_BEATS
from ...card.registers import VERSION
from ...channel import BEAT_BYTES
from ..kernel.kernel_spec import KernelSpec
from ..kernel.pins import CONTROL_BUS
from .banks import buffer_beats
from .ip_facts import PROTOCOL, bus_of, vlnv

__all__ = ["kernel_manifest"]


def kernel_manifest(spec: KernelSpec, banks: Mapping[str, int], platform: str) -> dict[str, Any]:
    """The name, the hash, the ports, the registers and the channels of the image of a kernel.

    ``banks``: the bank of memory of each port. A pointer is an argument; its ``id`` is its place among the arguments.
    A channel of the image has its ``number`` in its header, ``beats`` after the header, and lies in a buffer of
    ``buffer_bytes``.
    """
    arguments = [argument.name for argument in spec.registers.arguments]
    image = (port for port in spec.ports if port.image)
    return {
        "name": spec.name,
        "instance": instance(spec),
        "vlnv": vlnv(spec),
        "hash": f"{spec.design_hash:016x}",
        "protocol": PROTOCOL,
        "platform": platform,
        "layout_version": VERSION,
        "control": CONTROL_BUS,
        "ports": [
            {
                "name": port.name, "bus": port.bus, "data_bits": 8 * spec.master.beat_bytes,
                "address_bits": spec.master.address_bits, "reads": True, "writes": port.writes,
                "bank": banks[port.name], "buffer_bytes": buffer_beats(port) * BEAT_BYTES,
                "pointers": list(port.pointers),
            }
            for port in spec.ports
        ],
        "registers": [
            {
                "name": register.name, "offset": register.offset, "bits": register.bits, "writable": register.writable,
                "argument": arguments.index(register.name) if register.name in arguments else None,
                "bus": bus_of(spec, register), "about": register.about,
            }
            for register in spec.registers.registers
        ],
        "image": {
            "header_beats": HEADER_BEATS,
            "channels": [
                {"name": port.name, "number": number, "beats": port.beats, "bank": banks[port.name],
                 "argument": arguments.index(port.pointers[0])}
                for number, port in enumerate(image)
            ],
        },
    }  # fmt: skip


def instance(spec: KernelSpec) -> str:
    """The name of the kernel's only compute unit."""
    return f"{spec.name}_1"
