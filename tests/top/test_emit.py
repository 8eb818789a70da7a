"""Emission: what is written, that it is the same every time, and that it is all or nothing."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule.encoder_schedule import counted_cycles, counted_layer_cycles
from hdl.top import emit as emission
from hdl.top.emit import emit
from hdl.version import VERSION

from ..model.networks import layer

ROOT = Path(__file__).parents[2]
U280 = load_device("u280")

SMALL = PipelineSpec(
    layer=layer("bert", 16, 2, 32), max_length=24, max_layers=4, rows=2, lanes=1, ffn_lanes=2, score_lanes=1,
    arrays=Arrays(qkv=(6, 3), projection=(2, 1), ffn1=(2, 2), ffn2=(1, 1), scores=(2, 1), sums=(1, 1)),
    channels=(2, 1, 1, 1),
)  # fmt: skip
"""A pipeline that is soon emitted, and in which a channel's last beat is not full."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emission of `SMALL`, into a folder whose parents are not there yet."""
    return emit(SMALL, U280, tmp_path_factory.mktemp("emission") / "some" / "where", "small")


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return loaded


MANIFEST = '{"generator": {"name": "spatial-llm"}, "files": ["rtl/a.v", "implement.tcl", "manifest.json"]}\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emissions that take no time."""
    files = {"rtl/a.v": "module a;\n", "implement.tcl": "#\n", "manifest.json": MANIFEST}
    monkeypatch.setattr(emission, "files_of", lambda *arguments, **options: files)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files(folder: Path, manifest: dict[str, Any]) -> None:
    others = {"constraints/ooc.xdc", "implement.tcl", "manifest.json"}
    assert set(contents(folder)) == others | {module["file"] for module in manifest["modules"].values()}
    assert sorted(contents(folder)) == manifest["files"]
    assert [path.name for path in folder.parent.iterdir()] == ["where"]
    assert "create_clock -name clk -period 3.333 [get_ports clk]" in (folder / "constraints/ooc.xdc").read_text()
    assert "synth_design -top pipeline -part xcu280-fsvh2892-2L-e" in (folder / "implement.tcl").read_text()


def test_the_same_pipeline_gives_the_same_bytes_in_another_process(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom hdl.top.emit import emit\nfrom hdl.perf.device import load_device\n"
        "from tests.top.test_emit import SMALL\nemit(SMALL, load_device('u280'), pathlib.Path(sys.argv[1]), 'small')"
    )
    # Another seed of hashes, so another order of sets; another folder, so other paths.
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    out = tmp_path / "again"
    subprocess.run([sys.executable, "-c", script, str(out)], env=environment, cwd=tmp_path, check=True)
    again, first = contents(out), contents(folder)
    assert {name: hashlib.sha256(text).hexdigest() for name, text in again.items()} == {
        name: hashlib.sha256(text).hexdigest() for name, text in first.items()
    }


def test_the_manifest_s_version_is_the_project_s() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_manifest_says_what_was_made_for_what(manifest: dict[str, Any]) -> None:
    assert manifest["generator"] == {"name": "spatial-llm", "version": VERSION}
    sizes = {"hidden": 16, "heads": 2, "kv_heads": 2, "head_size": 8, "intermediate": 32}
    model = {"name": "small", "max_length": 24, "max_layers": 4} | sizes
    assert {name: value for name, value in manifest["model"].items() if name != "layer"} == model
    operators = [(operator["kind"], operator["name"]) for operator in manifest["model"]["layer"]]
    assert operators == [(type(operator).__name__, operator.name) for operator in SMALL.layer]
    assert operators[0] == ("Linear", "qkv")
    assert manifest["device"]["part"] == "xcu280-fsvh2892-2L-e"
    assert manifest["geometry"]["qkv"] == {"columns": 6, "cascades": 3}
    assert manifest["geometry"]["rows"] == 2


def test_the_manifest_s_ports_are_the_verilog_s(folder: Path, manifest: dict[str, Any]) -> None:
    top = (folder / "rtl/pipeline.v").read_text()
    module = re.search(r"^module pipeline\((.*?)\);(.*?)^endmodule", top, re.DOTALL | re.MULTILINE)
    assert module
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", module[2], re.MULTILINE)
    found = {name: (direction, int(high or 0) + 1) for direction, high, name in declared}
    expected = {"clk": ("input", 1), "rst": ("input", 1)}
    for port in manifest["ports"]:
        forth, back = ("input", "output") if port["direction"] == "in" else ("output", "input")
        payload, valid, ready = port["signals"]
        expected |= {payload: (forth, port["payload_bits"]), valid: (forth, 1), ready: (back, 1)}
    assert found == expected
    layouts = {port["stream"]: port["payload"] for port in manifest["ports"]}
    features = {"length": 1, "elements": {"bits": 16, "signed": True}}
    assert layouts["tokens"] == layouts["outputs"] == {"length": 2, "elements": features}
    assert layouts["run"]["fields"]["layers"] == {"offset": 5, "bits": 3, "signed": False}


def test_weights_put_in_the_manifest_s_order_are_those_of_the_memory_image(manifest: dict[str, Any]) -> None:
    memory = manifest["memory"]
    for name in SMALL.products:
        unit, spec = memory["weights"]["units"][name], SMALL.linear(name)
        (product,) = unit["products"]
        weights = np.random.default_rng(1).integers(-127, 128, (product["outputs"], product["inputs"]), dtype=np.int8)
        packed = spec.pack(weights)
        assert unit["channels"] == [f"weights_{name}__{index}" for index in range(len(packed))]
        assert unit["reads"] == {"run": [[0, SMALL.max_layers * product["beats"]]]}
        for channel, beats in enumerate(packed):
            assert beats.shape == (product["beats"], memory["beat_bytes"])
            expected = np.zeros_like(beats.view(np.int8))
            for index in np.ndindex(expected.shape):
                expected[index] = weight_at(unit, weights, channel, *index)
            np.testing.assert_array_equal(beats.view(np.int8), expected)


def weight_at(unit: dict[str, Any], weights: np.ndarray, channel: int, beat: int, byte: int) -> int:
    """The byte of a beat, by what the manifest says of the order."""
    (part, k), cascades, (product,) = divmod(byte, 8), unit["cascades"], unit["products"]
    block, beat = divmod(beat, unit["block_beats"])
    number, own = divmod(8 * beat + part, unit["rams"])
    if number >= unit["block"] or channel * unit["rams"] + own >= unit["columns"] * cascades:
        return 0
    column, cascade = divmod(channel * unit["rams"] + own, cascades)
    turn, word = divmod(block * unit["block"] + number, ceil(product["inputs"] / (8 * cascades)))
    row = turn * product["stride"] + product["first"] + unit["feature"][column]
    place = (word * cascades + cascade) * 8 + k
    return int(weights[row, place]) if place < product["inputs"] else 0


def test_the_blocks_of_parameters_follow_one_another(manifest: dict[str, Any]) -> None:
    parameters = manifest["memory"]["parameters"]
    at, layer = 0, parameters["sections"]["layer"]
    for block, expected in zip(layer["blocks"], SMALL.sections["layer"].parameters, strict=True):
        assert block == {"name": expected.name, "offset": at, "words": expected.words}
        at += block["words"]
    assert layer["beats"] == (at + 7) // 8
    assert parameters["reads"] == {"run": [[0, SMALL.max_layers * layer["beats"]]]}


def test_cycles_and_resources(manifest: dict[str, Any]) -> None:
    assert [entry["tokens"] for entry in manifest["cycles"]] == [16, 24]
    longest = manifest["cycles"][-1]
    assert set(longest["tile"]) == set(SMALL.units)
    assert SMALL.tile_cycles(24).items() <= longest["tile"].items()
    assert longest["layer_estimate"] == counted_layer_cycles(SMALL, 24)
    assert longest["run_estimate"] == counted_cycles(SMALL, 24, 4)
    assert longest["run_estimate_ms"] == round(longest["run_estimate"] / 300_000, 4)
    resources = manifest["resources"]
    for name, total in resources["total"].items():
        assert total == sum(unit[name] for unit in resources["units"].values())
        assert resources["share"][name] == round(total / resources["device"][name], 4)


def test_modules_are_counted_through_the_hierarchy(manifest: dict[str, Any]) -> None:
    modules = manifest["modules"]
    assert modules["pipeline"] == {"file": "rtl/pipeline.v", "kind": "pipeline", "instances": 1}
    arrays = [unit.array for unit in SMALL.array_units]
    of_kind = {"cascade": sum(array.columns * array.cascades * array.rows // 2 for array in arrays)}
    of_kind |= {"linear": 4, "layer_norm": 2, "column": sum(array.columns for array in arrays)}
    for kind, count in of_kind.items():
        assert sum(module["instances"] for module in modules.values() if module["kind"] == kind) == count


@pytest.mark.usefixtures("quick")
def test_an_earlier_emission_and_an_empty_folder_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    emit(SMALL, U280, out, "small")
    assert emit(SMALL, U280, out, "small") == out
    assert set(contents(tmp_path)) == {"out/rtl/a.v", "out/implement.tcl", "out/manifest.json"}


@pytest.mark.usefixtures("quick")
def test_what_has_come_into_an_emission_is_replaced_by_force_alone(tmp_path: Path) -> None:
    out = emit(SMALL, U280, tmp_path / "out", "small")
    for name in ("reports/timing.rpt", "rtl/mine.v"):
        path = out / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("hours of work")
        with pytest.raises(InputError) as error:
            emit(SMALL, U280, out, "small")
        assert str(error.value) == (
            f"output folder {out} holds {name}, which emit did not write; choose another --out, or replace the whole "
            "folder with --force"
        )
        assert path.read_text() == "hours of work"
        emit(SMALL, U280, out, "small", force=True)
        assert set(contents(tmp_path)) == {"out/rtl/a.v", "out/implement.tcl", "out/manifest.json"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("manifest", [None, "{}", "[]", "no JSON", '{"generator": {"name": "another"}}'])
def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    before = contents(tmp_path)
    with pytest.raises(InputError) as error:
        emit(SMALL, U280, tmp_path, "small")
    assert str(error.value) == (
        f"output folder {tmp_path} must be empty or an earlier emission, not hold other files; choose another --out"
    )
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("quick")
def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError) as error:
        emit(SMALL, U280, file, "small")
    assert str(error.value) == f"output {file} must be a folder, not a file; choose another --out"
    with pytest.raises(InputError) as error:
        emit(SMALL, U280, file / "below", "small")
    assert str(error.value) == f"output folder {file / 'below'} cannot be written: Not a directory"
    assert contents(tmp_path) == {"file": b"mine"}


def test_a_folder_where_nothing_can_be_written_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emission, "files_of", lambda *arguments, **options: pytest.fail("worked in vain"))
    with pytest.raises(InputError, match=r"^output folder /proc/emission cannot be written: "):
        emit(SMALL, U280, Path("/proc/emission"), "small")


def full_disk(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*arguments: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("action", "error"), [(full_disk, InputError), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize(
    ("method", "calls", "there_already"),
    [
        ("write_text", 0, False),
        ("write_text", 2, True),
        ("rename", 0, False),
        ("rename", 0, True),
        ("rename", 1, True),  # what was there has moved away
    ],
)
def test_a_failure_leaves_things_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    method: str,
    calls: int,
    action: Callable[..., Any],
    error: type[BaseException],
    there_already: bool,
) -> None:
    out = tmp_path / "out"
    if there_already:
        emit(SMALL, U280, out, "small")
        (out / "implement.tcl").write_text("the earlier one")
    before = contents(tmp_path)
    original = getattr(Path, method)
    turns = iter([original] * calls + [action] + [original] * 9)
    with monkeypatch.context() as patch, pytest.raises(error) as caught:
        patch.setattr(Path, method, lambda *arguments: next(turns)(*arguments))
        emit(SMALL, U280, out, "small")
    if error is InputError:
        assert str(caught.value) == f"output folder {out} cannot be written: No space left on device"
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if there_already else [])
