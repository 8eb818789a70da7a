"""The other files of the flow vitis: banks, the configuration of v++, the Makefile, the README, the manifest."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hdl.card.image import HEADER_BEATS
from hdl.card.registers import VERSION
from hdl.errors import InputError
from hdl.perf.device import Memory, Region, load_device
from hdl.top.emit import emit
from hdl.top.emitter import PRIMITIVE_DEFINE
from hdl.top.flows.banks import banks
from hdl.top.flows.flow import PLATFORMS, Flow, default_flow
from hdl.top.flows.vitis_files import for_synthesis, vitis_files, vitis_manifest
from hdl.top.kernel.description import describe_kernel

from ..decoder.designs import SMALL
from .kernels import KERNELS, top_emission, top_module

U280 = load_device("u280")


def files(kernel: str) -> dict[str, str]:
    """The files of a kernel."""
    return vitis_files(KERNELS[kernel], U280, ["rtl/a.v"])


def test_each_channel_has_a_bank_and_the_host_is_beside_the_parameters() -> None:
    found = banks(KERNELS["far"], U280.memory)
    names = [port.name for port in KERNELS["far"].ports]
    assert names[:2] == ["host", "parameters"]
    assert names[-2:] == ["values_0", "values_1"]
    assert [found[name] for name in names] == [0, *range(len(names) - 1)]


def memory(**other: Any) -> Memory:
    """The memory of the U280 with other figures."""
    return U280.memory.model_copy(update=other)


def test_more_channels_than_banks_are_refused() -> None:
    with pytest.raises(InputError) as error:
        banks(KERNELS["far"], memory(ports=4))
    assert str(error.value) == (
        "memory channels of a kernel must be at most 4, the banks of HBM2, not 11; choose a smaller --share"
    )


def test_a_channel_that_is_larger_than_a_bank_is_refused() -> None:
    with pytest.raises(InputError) as error:
        banks(KERNELS["small"], memory(capacity_gb=32e-5))
    assert str(error.value) == (
        "channel parameters must have at most 10,000 bytes, a bank of HBM2, not 13,504; choose a larger --share"
    )
    assert banks(KERNELS["small"], memory(capacity_gb=32 * 13_504e-9))


def sections(text: str) -> dict[str, list[str]]:
    """The lines of each section of a configuration, without comments."""
    found: dict[str, list[str]] = {"": []}
    for line in text.splitlines():
        if line.startswith("["):
            found[line[1:-1]] = []
        elif line and not line.startswith("#"):
            list(found.values())[-1].append(line)
    return found


def test_the_configuration_of_the_link() -> None:
    found = sections(files("encoder")["link.cfg"])
    assert found[""] == ["kernel_frequency=300"]
    unit = "spatial_encoder_1"
    ports = [(port.bus, bank) for port, bank in zip(KERNELS["encoder"].ports, [0, 0, 1, 2, 3, 4], strict=True)]
    assert found["connectivity"] == [
        f"nk=spatial_encoder:1:{unit}", f"slr={unit}:SLR0", *(f"sp={unit}.{bus}:HBM[{bank}]" for bus, bank in ports),
    ]  # fmt: skip
    properties = [line.split("=")[1] for line in found["vivado"]]
    assert len(properties) == 5
    assert all(re.fullmatch(r"run\.impl_1\.STEPS\.\w+\.(ARGS\.DIRECTIVE|IS_ENABLED)", one) for one in properties)


def test_every_port_of_the_configuration_is_a_bus_of_the_verilog() -> None:
    for name, spec in KERNELS.items():
        lines = sections(files(name)["link.cfg"])["connectivity"]
        buses = [line.split(".")[1].split(":")[0] for line in lines if line.startswith("sp=")]
        assert buses == [port.bus for port in spec.ports]
        for bus in buses:
            assert re.search(rf"^  output \[63:0\] {bus}_araddr;", top_module(spec), re.MULTILINE)


def test_a_kernel_that_is_larger_than_an_slr_is_assigned_to_none() -> None:
    few = Region(dsp=10, bram36=10, uram=10, lut=1000, ff=1000)
    small = U280.model_copy(update={"slrs": (few, few)})
    text = vitis_files(KERNELS["small"], small, [])["link.cfg"]
    assert "slr=" not in text
    assert "larger than an SLR" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the flow, and programs in place of the vendor's, which write what they were called with."""
    for name, text in {**files("small"), "rtl/a.v": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    script = (
        '#!/bin/sh\necho "$(basename $0) $*" >> calls\nmade=build/spatial_decoder.xo\nwhile [ $# -gt 0 ]; do\n'
        '[ "$1" = --output ] && made=$2\n[ "$1" = --od ] && made=$2/emconfig.json\nshift\ndone\necho made > $made\n'
    )
    (tmp_path / "bin").mkdir()
    for program in ("vivado", "v++", "emconfigutil"):
        (tmp_path / "bin" / program).write_text(script)
        (tmp_path / "bin" / program).chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str) -> list[str]:
    """Runs make; returns the calls of the vendor's programs."""
    (folder / "calls").write_text("")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {"PATH": path}
    subprocess.run(["make", *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    return (folder / "calls").read_text().splitlines()


VIVADO = "vivado -mode batch -nojournal -log build/xo.log -source gen_xo.tcl"


def link(target: str, platform: str = PLATFORMS["u280"]) -> str:
    """The call that links."""
    here = f"build/{target}"
    return (
        f"v++ --link --target {target} --platform {platform} --config link.cfg --save-temps "
        f"--temp_dir {here}/temporary --log_dir {here}/logs --report_dir {here}/reports "
        f"--output {here}/spatial_decoder.xclbin build/spatial_decoder.xo"
    )


def test_make(folder: Path) -> None:
    assert make(folder, "xo") == [VIVADO]
    assert make(folder, "link") == [link("hw")]
    assert make(folder, "link") == []
    emulation = f"emconfigutil --platform {PLATFORMS['u280']} --od build/hw_emu"
    assert make(folder, "hw_emu") == [link("hw_emu"), emulation]
    assert make(folder, "clean") == []
    assert not (folder / "build").exists()
    assert make(folder, "link", "PLATFORM=another") == [VIVADO, link("hw", "another")]
    os.utime(folder / "rtl/a.v")
    assert make(folder, "link") == [VIVADO, link("hw")]


def test_the_readme_names_what_there_is(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for name in re.findall(r"^\| `([\w/.]+)`(?:, `([\w/.]+)`)? \| \w", text.partition("## Commands")[0], re.MULTILINE):
        assert all((folder / one).exists() or one == "manifest.json" for one in name if one)
    targets = re.findall(r"^\| `make (\w+)`", text, re.MULTILINE)
    assert targets == ["xo", "hw_emu", "link", "clean"]
    assert f"`{KERNELS['small'].design_hash:016x}`" in text
    rows = re.findall(r"^\| `(m_axi_\w+)` \| ([\w ]+) \| HBM\[(\d+)\] \| (.*) \|$", text, re.MULTILINE)
    assert rows[0] == ("m_axi_host", "reads and writes", "0", "`request`, `answer`")
    assert [row[0] for row in rows] == [port.bus for port in KERNELS["small"].ports]


def test_the_readme_warns_of_many_masters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Resources exhausted" not in files("far")["README.md"]
    monkeypatch.setattr("hdl.top.flows.vitis_files.KNOWN_MASTERS", 11)
    assert "room for 11 masters on its HBM" in files("far")["README.md"]


def test_the_manifest_has_what_a_driver_needs() -> None:
    spec = KERNELS["far"]
    told = json.loads(json.dumps(vitis_manifest(spec, U280)))
    assert told["verilog"]["top"] == spec.name
    kernel = told["kernel"]
    assert kernel.items() >= json.loads(json.dumps(describe_kernel(spec))).items()
    assert (kernel["name"], kernel["instance"]) == ("spatial_decoder", "spatial_decoder_1")
    assert int(kernel["hash"], 16) == spec.design_hash
    assert (kernel["protocol"], kernel["layout_version"]) == ("ap_ctrl_chain", VERSION)
    assert [(one["name"], one["offset"]) for one in kernel["registers"]] == [
        (one.name, one.offset) for one in spec.registers.registers
    ]
    ports = {port["name"]: port for port in kernel["ports"]}
    assert [(one["bus"], one["pointers"]) for one in ports.values()] == [
        (port.bus, list(port.pointers)) for port in spec.ports
    ]
    assert [ports[name]["bank"] for name in (*kernel["image"], *kernel["cache"])] == list(range(11))
    assert ports["parameters"]["buffer_bytes"] == 64 * (kernel["header_beats"] + kernel["image"]["parameters"])
    assert ports["keys_0"]["buffer_bytes"] == 64 * kernel["cache"]["keys_0"]
    assert kernel["header_beats"] == HEADER_BEATS
    assert [name for name, port in ports.items() if port["writes"]] == ["host", *kernel["cache"]]


def test_primitives_are_selected_in_synthesis_alone() -> None:
    sources = {"a.v": f"`ifdef {PRIMITIVE_DEFINE}\n`endif\n", "b.v": "module b;\n"}
    made = for_synthesis(sources)
    assert made["b.v"] == sources["b.v"]
    assert made["a.v"] == (
        "`ifdef SYNTHESIS\n`ifndef SPATIAL_DSP48E2\n`define SPATIAL_DSP48E2\n`endif\n`endif\n" + sources["a.v"]
    )


def test_the_flow_of_a_device() -> None:
    assert {name for name in ("u280", "u50", "u55c", "u250") if default_flow(load_device(name)) is Flow.VITIS} == {
        "u280", "u50", "u55c",
    }  # fmt: skip


def test_an_emission_has_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top_emission(monkeypatch)
    out = emit(SMALL, U280, tmp_path / "out", "small", flow=Flow.VITIS)
    manifest = json.loads((out / "manifest.json").read_text())
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == manifest["files"]
    assert {name for name in found if not name.startswith("rtl/")} == {*files("small"), "manifest.json"}
    assert manifest["kernel"]["name"] == manifest["verilog"]["top"] == "spatial_decoder"
    assert "ports" not in manifest
    assert manifest["modules"]["spatial_decoder"] == {
        "file": "rtl/spatial_decoder.v", "kind": "kernel_pins", "instances": 1,
    }  # fmt: skip
