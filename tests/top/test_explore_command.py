"""The command `explore`, what it leaves in its folder, and the emission of a point."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hdl.bounds import JOBS
from hdl.model.load import load_network
from hdl.perf import explore
from hdl.perf.device import load_device
from hdl.perf.exploration import results
from hdl.perf.exploration.point import DesignPoint
from hdl.perf.exploration.points import FIGURES
from hdl.top import emit as emission
from hdl.top.cli import main
from hdl.top.explore_tables import design_lines

from .commands import Run

ROOT = Path(__file__).parents[2]
SMALL = ["--model", "tiny-bert", "--prompt", "24", "--points", "2000", "--jobs", "1"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    return code, *capsys.readouterr()


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a mistake."""
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err.removeprefix("error: ").rstrip("\n")


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explored") / "out"
    assert main(["explore", *SMALL, "--out", str(folder)]) == 0
    return folder


def test_what_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emitted: list[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--points 500 --output 8 --jobs 1 --prompt 16"
    code, out, err = run(capsys, "--model", "tiny-gpt2", "explore", *options.split())
    assert (code, err) == (0, "")
    assert "\ntiny-gpt2 on Alveo U280, 16 tokens and 8 more: " in out
    assert max(map(len, out.splitlines())) <= 110
    assert "500 points were evaluated now, " in " ".join(out.split())
    (command,) = [shlex.split(line) for line in out.splitlines() if line.startswith("python -m hdl.top ")]
    assert command[3:] == ["--model", "tiny-gpt2", "emit", "--device", "u280", "--prompt", "16", "--output", "8"]
    first = " ".join(out.split())
    assert first.startswith("Estimated only: emit makes none of the ")
    assert main(command[3:]) == 0
    other = f"spatial, tiles of {emitted[0][0].rows} tokens, {emitted[0][0].resources.dsp:,} DSPs"
    assert f"It makes another design, which estimate and describe show ({other}): python" in first
    capsys.readouterr()
    rows = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    assert rows["name"] == ["spatial", "share", "streamed", "share"]
    summary = json.loads((tmp_path / "build/explore-tiny-gpt2-u280/front.json").read_text())["kinds"]
    fit = [summary[kind]["feasible"] for kind in ("spatial", "streamed")]
    assert rows["fit"] == [cell for count in fit for cell in (str(count), f"{count / 250:.1%}")]
    assert len(rows["001"]) in (11, 12)  # the design is of two or three words
    assert {"spatial,", "streamed"} <= {words[0] for words in rows.values() if words}


def test_an_encoder_s_front_names_a_command_that_works(
    capsys: pytest.CaptureFixture[str], explored: Path, tmp_path: Path, emitted: list[Any]
) -> None:
    run = Run(capsys, "explore", *SMALL, "--out", str(explored))
    front = json.loads((explored / "front.json").read_text())["front"]
    own = [one["copies"] == 1 for one in front]
    start = (
        f"emit makes {sum(own)} of the {len(own)} designs of the front; those with no in the column emit it does not"
    )
    assert " ".join(run.out.split()).startswith(start)
    rows = {words[0]: words[-1] for line in run.out.splitlines() if (words := line.split()) and words[0].isdigit()}
    assert rows
    assert all(rows[number] == ("yes" if own[int(number) - 1] else "no") for number in rows)
    (command,) = run.printed
    assert command == ["emit", "--point", str(explored / "front" / f"point-{own.index(True) + 1:03}.json")]
    assert f"Picture of the front: {explored}/front.svg and front.png." in " ".join(run.out.split())
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert emitted[0][0].rows == front[own.index(True)]["geometry"]["rows"]


def test_a_front_of_which_emit_makes_nothing_says_why(tmp_path: Path) -> None:
    network = replace(load_network("tiny-gpt2"), family="opt")
    found = explore(network, "u280", points=60, prompt=16, output=8)
    reason = "networks of the family opt are only estimated"
    none = f"Estimated only: emit makes none of the {len(found.front)} designs of the front"
    assert design_lines(found, tmp_path, "mine") == [f"{none}: {reason}."]


def test_an_exploration_of_which_nothing_fits(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_device("u280")
    tiny = board.model_copy(update={"slrs": tuple(one.model_copy(update={"dsp": 1}) for one in board.slrs)})
    monkeypatch.setattr("hdl.perf.exploration.explore.load_device", lambda name: tiny)
    out = tmp_path / "out"
    code, shown, err = run(capsys, "explore", *SMALL, "--points", "20", "--out", str(out))
    assert (code, err) == (0, "")
    assert shown.startswith("No design of this exploration fits the device; the table of points says which")
    assert "refused: compute 20 100.0%" in " ".join(shown.split())
    assert json.loads((out / "front.json").read_text())["front"] == []
    assert {path.name for path in out.iterdir()} >= {"front.svg", "front.png", "points.csv", "points.parquet"}


@pytest.mark.parametrize("finished", [False, True])
def test_an_interrupt_says_what_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    out = tmp_path / "out"

    def ended(*arguments: Any, **options: Any) -> Any:
        if finished:
            (out / "batches").mkdir(parents=True)
            (out / "batches" / "000000.npz").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("hdl.perf.exploration.explore.explore", ended)
    said = complaint(capsys, "explore", *SMALL, "--out", str(out))
    kept = f"finished batches are kept in {out}, run again to continue" if finished else "no batch was finished"
    assert said == f"interrupted; {kept}"
    assert out.exists() is finished


def test_files(explored: Path) -> None:
    names = {path.name for path in explored.iterdir()}
    assert names == {
        "exploration.json", "batches", "front", "front.json", "front.png", "front.svg", "points.csv", "points.parquet",
    }  # fmt: skip
    summary = json.loads((explored / "front.json").read_text())
    front = summary["front"]
    assert (summary["device"], summary["prompt"], summary["seed"], summary["points"]) == ("u280", 24, 0, 2000)
    assert summary["feasible"] + sum(summary["refused"].values()) == 2000
    table = pq.read_table(explored / "points.parquet")
    assert table.num_rows == summary["feasible"]
    assert {*FIGURES, "rows", "qkv_columns", "clock_mhz"} < set(table.column_names)
    with (explored / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["dsp"]) for row in rows] == [one["figures"]["dsp"] for one in front]
    points = sorted((explored / "front").iterdir())
    assert [json.loads(path.read_text()) for path in points] == front
    assert (explored / "front.svg").read_text().lstrip().startswith("<?xml")
    assert (explored / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_again_is_the_same_bytes(capsys: pytest.CaptureFixture[str], explored: Path, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "explore", *SMALL, "--out", str(tmp_path / "again"))
    assert code == 0
    for path in explored.rglob("*"):
        if path.is_file() and path.suffix != ".npz":
            assert (tmp_path / "again" / path.relative_to(explored)).read_bytes() == path.read_bytes(), path
    code, out, _ = run(capsys, "explore", *SMALL, "--out", str(tmp_path / "again"))
    assert code == 0
    assert "No point was evaluated anew." in " ".join(out.split())


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    arguments = ["--points", "120000", "--model", "tiny-bert", "--prompt", "24", "--jobs", "1", "--out"]
    command = [sys.executable, "-m", "hdl.top", "explore", *arguments]
    for name, ended in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
        out = tmp_path / name
        process = subprocess.Popen(
            [*command, str(out)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while len(list(out.glob("batches/0*.npz"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(ended)
        _, err = process.communicate(timeout=60)
        if ended is signal.SIGINT:
            assert process.returncode == 2
            text = f"error: interrupted; finished batches are kept in {out}, run again to continue"
            assert err.strip() == text
        assert not (out / "front.json").exists()
    assert main(["explore", *arguments, str(tmp_path / "killed")]) == 0
    assert main(["explore", *arguments, str(tmp_path / "interrupted")]) == 0
    for name in ("front.json", "points.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "interrupted" / name).read_bytes()


def test_a_disk_that_is_full_when_results_are_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, os.strerror(28))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(results.pq, "write_table", full)
        text = complaint(capsys, "explore", *SMALL, "--out", str(out))
    assert text.startswith(f"output folder {out} cannot be written: No space left on device; finished batches are kept")
    assert {path.name for path in out.iterdir()} == {"exploration.json", "batches"}
    assert run(capsys, "explore", *SMALL, "--out", str(out))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("explore", "a model must be given with --model; known: "),
        ("explore --model nothing", "model 'nothing' is unknown"),
        ("explore --model tiny-bert --device nil", "device 'nil' is unknown; known: "),
        ("explore --model tiny-bert --device a100", "estimates are for FPGAs of the families "),
        (
            "explore --model tiny-bert --points 0",
            "points must be 1 to 10,000,000 (all points are kept in memory), not 0",
        ),
        ("explore --model tiny-bert --points x", "Invalid value for '--points': 'x' is not a whole number; see"),
        ("explore --model tiny-bert --prompt 129", "prompt and output of model 'tiny-bert' must be at most its 128"),
        ("explore --model tiny-bert --jobs 0", f"jobs must be 1 to {JOBS.most} ({JOBS.why}), not 0"),
        (
            "explore --model tiny-bert --out /proc/nothing",
            "output folder /proc/nothing cannot be written: No such file or directory; no batch was finished; make",
        ),
        ("explore --model tiny-bert --out x --scheduler 127.0.0.1:1", "scheduler '127.0.0.1:1' must be a running Dask"),
        *(
            (
                f"explore --model tiny-bert --points 100 --scheduler {address}",
                f"scheduler '{address}' must be an address such as tcp://127.0.0.1:8786",
            )
            for address in ("nonsense", "tcp://", "tcp://host", "host:port")
        ),
        ("emit --point nothing.json", "point nothing.json cannot be read: No such file or directory"),
        ("emit --point mine.txt", "point mine.txt must be valid JSON: "),
        ("emit --point mine.json", "point mine.json must be a point as explore writes them, but lacks 'network'"),
        ("emit --tile 4 --point mine.json", "--tile must be left out with --point, which has its own"),
        ("emit --share 0.5 --point mine.json", "--share must be left out with --point, which has its own"),
        ("emit --device u280 --point mine.json", "--device must be left out with --point, which has its own"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hdl.perf.exploration.schedule.CONNECT_SECONDS", 2)
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "mine.txt").write_text("mine")
    assert complaint(capsys, *arguments.split()).startswith(message)
    assert not (tmp_path / "build").exists() or not list((tmp_path / "build").glob("*/front*"))


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Emissions that take no time: the specs and devices."""
    found: list[Any] = []

    def files_of(spec: Any, device: Any, *arguments: Any, **options: Any) -> dict[str, str]:
        found.append((spec, device))
        manifest = {"generator": {"name": "spatial-llm"}, "files": ["manifest.json", "rtl/pipeline.v"]}
        return {"rtl/pipeline.v": "module\n", "manifest.json": json.dumps(manifest)}

    monkeypatch.setattr(emission, "files_of", files_of)
    return found


def test_emission_of_a_point(
    capsys: pytest.CaptureFixture[str], explored: Path, tmp_path: Path, emitted: list[Any]
) -> None:
    paths: dict[bool, list[Path]] = {True: [], False: []}
    for path in sorted((explored / "front").iterdir()):
        paths[json.loads(path.read_text())["copies"] == 1].append(path)
    for path in paths[True][::10]:
        code, out, err = run(capsys, "emit", "--point", str(path), "--out", str(tmp_path / "emitted"))
        point = DesignPoint.from_dict(json.loads(path.read_text()), "x")
        assert (code, err) == (0, "")
        spec, device = emitted[-1]
        assert (spec, device.clock_mhz, device.name) == (point.spec, point.clock_mhz, "u280")
        assert f"{spec.macs:,} MAC/cycle" in out
    assert run(capsys, "--model", "tiny-bert", "emit", "--point", str(path), "--out", str(tmp_path / "emitted"))[0] == 0
    several, out = paths[False][0], str(tmp_path / "other")
    copies = json.loads(several.read_text())["copies"]
    assert complaint(capsys, "emit", "--point", str(several), "--out", out) == (
        f"point {several} cannot be emitted: emit makes one copy of a layer's hardware, not {copies}; "
        "choose a point with 1 layer on chip"
    )
    text = complaint(capsys, "--model", "bert-base", "emit", "--point", str(path), "--out", str(tmp_path / "other"))
    assert text == f"point {path} is of model 'tiny-bert', not 'bert-base'; leave out --model"


def test_a_decoder_s_point_is_not_emitted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = main(["explore", "--model", "tiny-gpt2", "--points", "400", "--jobs", "1", "--out", str(out)])
    assert (code, capsys.readouterr().err) == (0, "")
    kinds = {json.loads(path.read_text())["kind"]: path for path in (out / "front").iterdir()}
    texts = {
        "spatial": "emit takes points of encoders only; without --point it chooses a decoder's design itself",
        "streamed": "emit makes spatial designs, not streamed ones",
    }
    for kind, text in texts.items():
        said = complaint(capsys, "emit", "--point", str(kinds[kind]), "--out", str(tmp_path / "emitted"))
        assert said == f"point {kinds[kind]} cannot be emitted: {text}"
    assert not (tmp_path / "emitted").exists()


def test_tables_of_both_kinds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--points", "400", "--prompt", "16", "--output", "8", "--jobs", "1", "--out", str(out)]
    assert run(capsys, "explore", "--model", "tiny-gpt2", *options)[0] == 0
    table = pq.read_table(out / "points.parquet")
    summary = json.loads((out / "front.json").read_text())
    kinds = table["kind"].to_pylist()
    assert {kind: kinds.count(kind) for kind in kinds} == {
        name: one["feasible"] for name, one in summary["kinds"].items()
    }
    for name, kind in (("qkv_columns", "spatial"), ("array_columns", "streamed"), ("block", "streamed")):
        filled = {found for found, value in zip(kinds, table[name].to_pylist(), strict=True) if value is not None}
        assert filled == {kind}
    with (out / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, one in zip(rows, summary["front"], strict=True):
        assert row["kind"] == one["kind"]
        assert bool(row["qkv"]) == (row["kind"] == "spatial")
        assert row["array"] == "x".join(map(str, one["geometry"].get("shape", [])))


def test_another_exploration_s_folder_is_started_over_by_force(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--model", "tiny-bert", "--points", "400", "--jobs", "1", "--out", str(out)]
    assert run(capsys, "explore", *options)[0] == 0
    (out / "front/notes.txt").write_text("mine")
    said = complaint(capsys, "explore", *options, "--seed", "1")
    assert said == (
        f"output folder {out} must be of the same exploration, not of seed 0 instead of 1; choose another --out, or "
        "start over with --force"
    )
    assert run(capsys, "explore", *options, "--seed", "1", "--force")[0] == 0
    summary = json.loads((out / "front.json").read_text())
    assert summary["seed"] == 1
    points = {f"point-{number:03}.json" for number in range(1, len(summary["front"]) + 1)}
    assert {path.name for path in (out / "front").iterdir()} == points | {"notes.txt"}
    assert (out / "front/notes.txt").read_text() == "mine"


def test_an_interrupt_before_a_batch_is_finished_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["hdl.perf.exploration.explore"], "BatchStore", interrupted)
    assert complaint(capsys, "explore", *SMALL, "--out", str(tmp_path / "out")) == "interrupted; no batch was finished"
    (tmp_path / "out/batches").mkdir(parents=True)
    (tmp_path / "out/batches/000000.npz").touch()
    said = complaint(capsys, "explore", *SMALL, "--out", str(tmp_path / "out"))
    assert said == f"interrupted; finished batches are kept in {tmp_path / 'out'}, run again to continue"


def test_a_small_point_is_emitted_in_full(capsys: pytest.CaptureFixture[str], explored: Path, tmp_path: Path) -> None:
    smallest = sorted((explored / "front").iterdir())[-1]
    code, _, _ = run(capsys, "emit", "--point", str(smallest), "--out", str(tmp_path / "emitted"))
    assert code == 0
    manifest = json.loads((tmp_path / "emitted" / "manifest.json").read_text())
    assert all((tmp_path / "emitted" / name).is_file() for name in manifest["files"])
    assert manifest["kernel"]["name"] == "spatial_encoder"
    values = json.loads(smallest.read_text())
    assert manifest["geometry"]["rows"] == values["geometry"]["rows"]
    assert manifest["device"]["clock_mhz"] == values["clock_mhz"]
    assert manifest["resources"]["total"]["dsp"] * values["copies"] == values["figures"]["dsp"]
