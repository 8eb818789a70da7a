"""component.xml: a kernel as an IP in IP-XACT (IEEE 1685-2009), with the extensions by which Vivado knows a kernel."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, register_namespace

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from ...card.registers import ADDRESS_BITS, ControlBits, Register
from ..kernel.kernel_spec import KernelSpec
from ..kernel.pins import CONTROL_BUS, bus_signals
from .ip_facts import LIBRARY, VENDOR, VERSION, bus_of, bus_parameters, register_name
from .xml_text import xml_text

__all__ = ["CLOCK", "INTERRUPT", "RESET", "component_xml", "pins"]

CLOCK, RESET, INTERRUPT = "ap_clk", "ap_rst_n", "interrupt"
"""The ports that are no bus."""

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"

VIEWS = {"synthesis": "xilinx_anylanguagesynthesis", "simulation": "xilinx_anylanguagebehavioralsimulation"}
"""The views of the IP, and the names that Vivado has for them."""

CONTROL_FIELDS = {
    "AP_START": (ControlBits.START, "read-write"), "AP_DONE": (ControlBits.DONE, "read-only"),
    "AP_IDLE": (ControlBits.IDLE, "read-only"), "AP_READY": (ControlBits.READY, "read-only"),
    "AP_CONTINUE": (ControlBits.CONTINUE, "read-write"), "AUTO_RESTART": (ControlBits.AUTO_RESTART, "read-write"),
}  # fmt: skip
"""The place and the access of each bit of the register CTRL."""


def component_xml(spec: KernelSpec, sources: Iterable[str], constraints: str, clock_hz: int) -> str:
    """The text of the file. ``sources``: paths of the Verilog; ``constraints``: that of the constraints for synthesis
    out of context."""
    register_namespace("spirit", SPIRIT)
    register_namespace("xilinx", XILINX)
    return xml_text(
        node(
            "component", node("vendor", VENDOR), node("library", LIBRARY), node("name", spec.name),
            node("version", VERSION), node("busInterfaces", *bus_interfaces(spec, clock_hz)),
            node("addressSpaces", *(address_space(spec, port.bus) for port in spec.ports)),
            node("memoryMaps", memory_map(spec)), node("model", *model(spec)),
            node("fileSets", *file_sets(list(sources), constraints)), node("description", f"{spec.name}, by {VENDOR}"),
            parameters({"Component_Name": f"{spec.name}_v1_0"}), node("vendorExtensions", extensions(spec)),
        )
    )  # fmt: skip


def node(tag: str, *inside: Element | str | int, namespace: str = SPIRIT, **attributes: str) -> Element:
    """An element with its attributes, its text and the elements in it."""
    made = Element(f"{{{namespace}}}{tag}", {f"{{{namespace}}}{name}": value for name, value in attributes.items()})
    for part in inside:
        if isinstance(part, Element):
            made.append(part)
        else:
            made.text = str(part)
    return made


def parameters(given: Mapping[str, str]) -> Element:
    """Parameters of what is described."""
    return node(
        "parameters", *(node("parameter", node("name", name), node("value", value)) for name, value in given.items())
    )


def pins(spec: KernelSpec) -> Iterator[tuple[str, str, int]]:
    """The name, direction and width of each port of the Verilog."""
    yield from ((CLOCK, "in", 1), (RESET, "in", 1), (INTERRUPT, "out", 1))
    for bus, signals in bus_signals(spec).items():
        for name, member in signals.items():
            yield f"{bus}_{name}", "in" if member.flow == In else "out", Shape.cast(member.shape).width


def bus_interfaces(spec: KernelSpec, clock_hz: int) -> Iterator[Element]:
    """The masters, the control registers, the clock, the reset and the interrupt."""
    signals = bus_signals(spec)
    ports = {port.bus: port for port in spec.ports}
    for bus in (*ports, CONTROL_BUS):
        if bus in ports:
            role, told = node("master", node("addressSpaceRef", addressSpaceRef=bus)), bus_parameters(spec, ports[bus])
        else:
            role, told = node("slave", node("memoryMapRef", memoryMapRef=bus)), {}
        told = {"PROTOCOL": "AXI4" if bus in ports else "AXI4LITE", **told}
        yield interface("interface", "aximm", bus, role, {name.upper(): f"{bus}_{name}" for name in signals[bus]}, told)
    clock = {"ASSOCIATED_BUSIF": ":".join((*ports, CONTROL_BUS)), "ASSOCIATED_RESET": RESET, "FREQ_HZ": str(clock_hz)}
    yield interface("signal", "clock", CLOCK, node("slave"), {"CLK": CLOCK}, clock)
    yield interface("signal", "reset", RESET, node("slave"), {"RST": RESET}, {"POLARITY": "ACTIVE_LOW"})
    sensitivity = {"SENSITIVITY": "LEVEL_HIGH"}
    yield interface("signal", "interrupt", INTERRUPT, node("master"), {"INTERRUPT": INTERRUPT}, sensitivity)


def interface(
    library: str, kind: str, name: str, role: Element, ports: Mapping[str, str], told: Mapping[str, str]
) -> Element:
    """A bus interface of one of AMD's types; ``ports``: the port of each signal of the type."""
    types = {"vendor": "xilinx.com", "library": library, "version": "1.0"}
    maps = (
        node("portMap", node("logicalPort", node("name", signal)), node("physicalPort", node("name", port)))
        for signal, port in ports.items()
    )
    return node(
        "busInterface", node("name", name), node("busType", **types, name=kind),
        node("abstractionType", **types, name=f"{kind}_rtl"), role, node("portMaps", *maps), parameters(told),
    )  # fmt: skip


def address_space(spec: KernelSpec, bus: str) -> Element:
    """What a master can address. Sizes may be given in units of 2 to the power of 40, which Vivado does, too."""
    tera = f"{1 << (spec.master.address_bits - 40)}T"
    return node("addressSpace", node("name", bus), node("range", tera), node("width", 8 * spec.master.beat_bytes))


def memory_map(spec: KernelSpec) -> Element:
    """The control registers."""
    head = (node("name", "reg0"), node("baseAddress", 0), node("range", 1 << ADDRESS_BITS), node("width", 32))
    registers = (described_register(spec, register) for register in spec.registers.registers)
    block = node("addressBlock", *head, node("usage", "register"), *registers)
    return node("memoryMap", node("name", CONTROL_BUS), block)


def described_register(spec: KernelSpec, register: Register) -> Element:
    """A register; a pointer with its bus."""
    fields = CONTROL_FIELDS if register.name == "control" else {}
    bus = bus_of(spec, register)
    return node(
        "register", node("name", register_name(register)), node("description", register.about),
        node("addressOffset", f"{register.offset:#05x}"), node("size", register.bits),
        node("volatile", "false" if bus else "true"),
        node("access", "read-write" if register.writable else "read-only"),
        *(
            node("field", node("name", name), node("bitOffset", place), node("bitWidth", 1), node("access", access))
            for name, (place, access) in fields.items()
        ),
        *([parameters({"ASSOCIATED_BUSIF": bus})] if bus else []),
    )  # fmt: skip


def model(spec: KernelSpec) -> Iterator[Element]:
    """The views for synthesis and simulation, and the ports."""
    yield node(
        "views",
        *(
            node(
                "view", node("name", name), node("envIdentifier", f":vivado.xilinx.com:{purpose}"),
                node("language", "Verilog"), node("modelName", spec.name),
                node("fileSetRef", node("localName", f"{name}_view_fileset")),
            )
            for purpose, name in VIEWS.items()
        ),
    )  # fmt: skip
    wire = [node("viewNameRef", name) for name in VIEWS.values()]
    types = ("wireTypeDefs", "wireTypeDef")

    def port(name: str, direction: str, width: int) -> Element:
        vector = [node("vector", node("left", width - 1), node("right", 0))] if width > 1 else []
        kinds = node(types[0], node(types[1], node("typeName", "wire"), *wire))
        return node("port", node("name", name), node("wire", node("direction", direction), *vector, kinds))

    yield node("ports", *(port(*pin) for pin in pins(spec)))


def file_sets(sources: list[str], constraints: str) -> Iterator[Element]:
    """The files of each view."""
    for purpose, name in VIEWS.items():
        files: list[Any] = [node("file", node("name", path), node("fileType", "verilogSource")) for path in sources]
        if purpose == "synthesis":
            kinds = ("xdc", "USED_IN_out_of_context", "USED_IN_synthesis", "USED_IN_implementation")
            files.append(node("file", node("name", constraints), *(node("userFileType", kind) for kind in kinds)))
        yield node("fileSet", node("name", f"{name}_view_fileset"), *files)


def extensions(spec: KernelSpec) -> Element:
    """What only Vivado reads."""

    def own(tag: str, *inside: Element | str) -> Element:
        return node(tag, *inside, namespace=XILINX)

    return own(
        "coreExtensions", own("taxonomies", own("taxonomy", "/KernelIP")), own("displayName", spec.name),
        own("autoFamilySupportLevel", "level_2"), own("definitionSource", "package_project"),
        own("coreRevision", "1"),
        own("sdxKernelAttributes", own("sdx_kernel", "true"), own("sdx_kernel_type", "rtl")),
    )  # fmt: skip
