"""kernel.xml against the ports of the Verilog and the registers."""

from xml.etree import ElementTree

import pytest

from hdl.top.flows.kernel_xml import kernel_xml

from .kernels import KERNELS, declared_ports


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a kernel."""
    return str(request.param)


def kernel(name: str) -> ElementTree.Element:
    """The element of the kernel."""
    root = ElementTree.fromstring(kernel_xml(KERNELS[name]))
    assert (root.tag, root.attrib) == ("root", {"versionMajor": "1", "versionMinor": "6"})
    (found,) = root
    return found


def test_the_kernel(name: str) -> None:
    told, own = kernel(name).attrib, KERNELS[name].name
    assert (told["name"], told["vlnv"]) == (own, f"spatial-llm:kernel:{own}:1.0")
    assert (told["language"], told["interrupt"], told["hwControlProtocol"]) == ("ip_c", "true", "ap_ctrl_chain")


def test_the_ports_are_the_buses_of_the_verilog(name: str) -> None:
    ports = {one.attrib["name"]: one.attrib for one in kernel(name).iterfind("ports/port")}
    declared = declared_ports(KERNELS[name])
    assert set(ports) == {port.rpartition("_")[0] for port in declared if "axi" in port}
    for bus, told in ports.items():
        assert (told["portType"], told["base"]) == ("addressable", "0x0")
        assert int(told["dataWidth"]) == declared[f"{bus}_rdata"][1]
        bits = declared[f"{bus}_araddr"][1]
        slave = declared[f"{bus}_arvalid"][0] == "in"
        assert told["mode"] == ("slave" if slave else "master")
        assert int(told["range"], 0) == 2**bits - (not slave)


def test_the_arguments_are_those_of_the_registers(name: str) -> None:
    registers = KERNELS[name].registers
    found = [one.attrib for one in kernel(name).iterfind("args/arg")]
    assert [told["name"] for told in found] == [argument.name for argument in registers.arguments]
    for number, (told, argument) in enumerate(zip(found, registers.arguments, strict=True)):
        register = registers[argument.name]
        assert (told["id"], int(told["offset"], 0)) == (str(number), register.offset)
        assert int(told["size"], 0) == int(told["hostSize"], 0) == register.bits // 8
        pointer = argument.bus is not None
        assert told["addressQualifier"] == str(int(pointer))
        assert told["port"] == (argument.bus or "s_axi_control")
        assert told["type"] == ("void*" if pointer else "uint")
        assert told["hostOffset"] == "0x0"


def test_every_master_has_a_pointer(name: str) -> None:
    masters = {one.attrib["name"] for one in kernel(name).iterfind("ports/port") if one.attrib["mode"] == "master"}
    assert masters == {one.attrib["port"] for one in kernel(name).iterfind("args/arg")} - {"s_axi_control"}
