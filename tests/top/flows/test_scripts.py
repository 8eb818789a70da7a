"""The scripts of both flows run in a real Tcl, with commands that check their options and objects and take note."""

import shutil
import tkinter
from pathlib import Path

import pytest

from hdl.perf.device import load_device
from hdl.top.emitter import PRIMITIVE_DEFINE
from hdl.top.flows.component_xml import pins
from hdl.top.flows.templates import TEMPLATES, fill
from hdl.top.flows.vitis_files import vitis_files
from hdl.top.flows.vivado_files import vivado_files
from hdl.top.kernel.kernel_spec import KernelSpec

from .kernels import KERNELS, declared_ports
from .vivado import SITES, Vivado

U280 = load_device("u280")


def written(folder: Path, files: dict[str, str]) -> Path:
    """A folder with these files and two Verilog ones."""
    for name, text in {**files, "rtl/a.v": "", "rtl/b.v": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder.resolve()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The files of the flow vivado."""
    return written(tmp_path / "a folder", vivado_files(U280, "pipeline"))


def kernel_folder(folder: Path, kernel: str) -> Path:
    """The files of the flow vitis."""
    return written(folder / "a folder", vitis_files(KERNELS[kernel], U280, ["rtl/a.v", "rtl/b.v"]))


def packager(spec: KernelSpec) -> Vivado:
    """A Vivado whose packager finds the buses, the clock and the reset by their names, but not the interrupt."""
    return Vivado(declared_ports(spec), {*(port.bus for port in spec.ports), "s_axi_control", "ap_clk", "ap_rst_n"})


def test_no_place_is_left_unfilled_and_lines_are_short(bare: Path, tmp_path: Path) -> None:
    folders = [bare, kernel_folder(tmp_path / "k", "far")]
    texts = {path: path.read_text() for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if "@{" in text]
    for path in TEMPLATES.rglob("*.*"):
        assert max(map(len, path.read_text().splitlines())) <= 120, path


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="period_ns"):
        fill("vivado/ooc.xdc")


def test_the_constraints_of_a_bare_pipeline(bare: Path) -> None:
    vivado = Vivado({"clk", "rst"})
    vivado.run(bare / "constraints/ooc.xdc")
    (clock,) = vivado.of("create_clock")
    assert (clock.options, clock.arguments) == ({"name": "clk", "period": "3.333"}, ["clk"])
    (uncertainty,) = vivado.of("set_clock_uncertainty")
    assert (uncertainty.options, uncertainty.arguments) == ({"setup": True}, ["0.100", "clk"])


STEPS = ["synth_design", "opt_design", "place_design", "phys_opt_design", "route_design"]


def test_the_implementation_of_a_bare_pipeline(bare: Path) -> None:
    vivado = Vivado({"clk", "rst"})
    vivado.run(bare / "implement.tcl")
    assert [call.name for call in vivado.calls if call.name in STEPS] == STEPS
    (sources,) = vivado.of("read_verilog")
    assert sources.arguments == [f"{{{bare}/rtl/a.v}} {{{bare}/rtl/b.v}}"]
    (constraints,) = vivado.of("read_xdc")
    assert (constraints.options, constraints.arguments) == (
        {"mode": "out_of_context"}, [f"{{{bare}/constraints/ooc.xdc}}"],
    )  # fmt: skip
    part = "xcu280-fsvh2892-2L-e"
    assert vivado.of("synth_design")[0].options == {
        "top": "pipeline", "part": part, "mode": "out_of_context", "verilog_define": PRIMITIVE_DEFINE,
    }  # fmt: skip
    assert vivado.properties == {("clk", "HD.CLK_SRC"): SITES[4]}
    assert (bare / "reports").is_dir()
    steps = ("synthesised", "placed", "optimised", "routed")
    for name, kind in (("report_methodology", "methodology"), ("report_timing_summary", "timing")):
        assert [call.options["file"] for call in vivado.of(name)] == [
            f"{bare}/reports/{kind}_{step}.rpt" for step in steps
        ]
    fanout = [call.options["file"] for call in vivado.of("report_high_fanout_nets")]
    assert {f"{bare}/reports/fanout_{step}.rpt" for step in steps} < set(fanout)
    assert [call.arguments[0] for call in vivado.of("write_checkpoint")] == [
        f"{bare}/reports/pipeline_{step}.dcp" for step in steps
    ]
    last = "pipeline routed: slack 0.125 ns for setup, 0.010 ns for hold"
    assert vivado.of("puts")[-1].arguments == [last]


def test_the_synthesis_alone(bare: Path) -> None:
    vivado = Vivado({"clk", "rst"})
    vivado.run(bare / "implement.tcl", "synth")
    assert [call.name for call in vivado.calls if call.name in STEPS] == STEPS[:1]
    assert len(vivado.of("write_checkpoint")) == 1


def test_a_port_that_does_not_exist_is_found(bare: Path) -> None:
    with pytest.raises(tkinter.TclError, match="there is no port clk"):
        Vivado({"ap_clk"}).run(bare / "constraints/ooc.xdc")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("route_design -quick_and_dirty", "route_design has no option -quick_and_dirty"),
        ("place_design everything", "place_design has 0 arguments"),
        ("routedesign", 'invalid command name "routedesign"'),
        ("get_ports {clk", "missing close-brace"),
        ("opt_design -directive Sloppy", "opt_design has no directive Sloppy"),
    ],
)
def test_the_stand_in_finds_what_is_wrong(tmp_path: Path, script: str, message: str) -> None:
    (tmp_path / "x.tcl").write_text(script)
    with pytest.raises(tkinter.TclError, match=message):
        Vivado({"clk"}).run(tmp_path / "x.tcl")


def test_the_constraints_of_a_kernel(tmp_path: Path) -> None:
    vivado = Vivado(declared_ports(KERNELS["small"]))
    vivado.run(kernel_folder(tmp_path, "small") / "constraints/kernel_ooc.xdc")
    (clock,) = vivado.of("create_clock")
    assert (clock.options, clock.arguments) == ({"name": "ap_clk", "period": "3.333"}, ["ap_clk"])
    assert len(vivado.calls) == 2


@pytest.mark.parametrize("name", KERNELS)
def test_the_packaging_of_a_kernel(tmp_path: Path, name: str) -> None:
    spec, here = KERNELS[name], kernel_folder(tmp_path, name)
    vivado = packager(spec)
    vivado.run(here / "gen_xo.tcl")
    (package,) = vivado.of("ipx::package_project")
    assert package.options["root_dir"] == f"{here}/build/ip"
    assert vivado.properties["sources_1", "top"] == vivado.properties["core", "name"] == spec.name
    associated = [call.options for call in vivado.of("ipx::associate_bus_interfaces")]
    buses = [*(port.bus for port in spec.ports), "s_axi_control"]
    assert associated == [
        {"clock": "ap_clk", "reset": "ap_rst_n"}, *({"busif": bus, "clock": "ap_clk"} for bus in buses),
    ]  # fmt: skip
    for register in spec.registers.registers[4:]:
        place = f"map/s_axi_control/reg0/{register.name}"
        assert int(vivado.properties[place, "address_offset"], 0) == register.offset
        assert vivado.properties[place, "size"] == str(register.bits)
        assert vivado.properties[place, "access"] == ("read-write" if register.writable else "read-only")
    pointers = {argument.name: argument.bus for argument in spec.registers.arguments if argument.bus}
    assert pointers == {
        place.split("/")[-2]: value
        for (place, what), value in vivado.properties.items()
        if what == "value" and place.endswith("/ASSOCIATED_BUSIF")
    }
    for port in spec.ports:
        mode = vivado.properties[f"interface/{port.bus}/READ_WRITE_MODE", "value"]
        assert mode == ("READ_WRITE" if port.writes else "READ_ONLY")
    assert vivado.properties["interface/ap_rst_n/POLARITY", "value"] == "ACTIVE_LOW"
    assert vivado.properties["interface/ap_clk/FREQ_HZ", "value"] == "300000000"
    assert vivado.properties["interface/interrupt/SENSITIVITY", "value"] == "LEVEL_HIGH"
    assert vivado.properties["core", "sdx_kernel_type"] == "rtl"
    (xo,) = vivado.of("package_xo")
    assert xo.options == {
        "force": True, "xo_path": f"{here}/build/{spec.name}.xo", "kernel_name": spec.name,
        "ip_directory": f"{here}/build/ip", "ctrl_protocol": "ap_ctrl_chain", "kernel_xml": f"{here}/kernel.xml",
    }  # fmt: skip
    assert vivado.of("puts")[-1].arguments == [f"{spec.name}: {here}/build/{spec.name}.xo"]
    order = [call.name for call in vivado.calls]
    assert order.index("ipx::check_integrity") < order.index("ipx::save_core") < order.index("package_xo")


def test_a_bus_that_the_packager_does_not_find_is_an_error(tmp_path: Path) -> None:
    spec = KERNELS["small"]
    vivado = packager(spec)
    vivado.interfaces = set(vivado.interfaces) - {"m_axi_parameters"}
    with pytest.raises(tkinter.TclError, match="found no bus interface m_axi_parameters in the ports of spatial_deco"):
        vivado.run(kernel_folder(tmp_path, "small") / "gen_xo.tcl")
    assert not vivado.of("package_xo")


def test_the_pins_are_those_of_the_verilog() -> None:
    for spec in KERNELS.values():
        assert {name: (direction, width) for name, direction, width in pins(spec)} == declared_ports(spec)


def test_the_folder_may_be_anywhere(bare: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(bare, moved)
    vivado = Vivado({"clk", "rst"})
    vivado.run(moved / "implement.tcl", "synth")
    assert vivado.of("read_xdc")[0].arguments == [f"{moved.resolve()}/constraints/ooc.xdc"]
