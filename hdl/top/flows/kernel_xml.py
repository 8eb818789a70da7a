"""kernel.xml: what Vitis and its runtime know of a kernel, in the form of AMD UG1702 ("RTL Kernel XML File")."""

from xml.etree.ElementTree import Element, SubElement

from ...card.registers import ADDRESS_BITS
from ..kernel.kernel_spec import KernelSpec
from ..kernel.pins import CONTROL_BUS
from .ip_facts import PROTOCOL, vlnv
from .xml_text import xml_text

__all__ = ["kernel_xml"]

TYPES = {32: "uint", 64: "ulong"}
"""The type of a number of so many bits."""


def kernel_xml(spec: KernelSpec) -> str:
    """The text of the file: the ports, and the arguments with their registers."""
    root = Element("root", versionMajor="1", versionMinor="6")
    kernel = SubElement(
        root, "kernel", name=spec.name, language="ip_c", vlnv=vlnv(spec), attributes="",
        preferredWorkGroupSizeMultiple="0", workGroupSize="1", interrupt="true", hwControlProtocol=PROTOCOL,
    )  # fmt: skip
    ports = SubElement(kernel, "ports")
    masters = [(port.bus, "master", spec.master.address_bits, 8 * spec.master.beat_bytes) for port in spec.ports]
    for name, mode, address_bits, data_bits in ((CONTROL_BUS, "slave", ADDRESS_BITS, 32), *masters):
        reach = 1 << address_bits
        SubElement(
            ports, "port", name=name, mode=mode, range=f"{reach if mode == 'slave' else reach - 1:#x}",
            dataWidth=str(data_bits), portType="addressable", base="0x0",
        )  # fmt: skip
    arguments = SubElement(kernel, "args")
    for number, argument in enumerate(spec.registers.arguments):
        size = f"{argument.bits // 8:#x}"
        SubElement(
            arguments, "arg", name=argument.name, addressQualifier="1" if argument.bus else "0", id=str(number),
            port=argument.bus or CONTROL_BUS, size=size, offset=f"{spec.registers[argument.name].offset:#x}",
            type="void*" if argument.bus else TYPES[argument.bits], hostOffset="0x0", hostSize=size,
        )  # fmt: skip
    return xml_text(root)
