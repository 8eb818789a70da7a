"""The command `quantise` on a model of the user's: what it says, and which files it leaves alone."""

import json
import os
from pathlib import Path

import pytest

from hdl.model.quantisedfile import load_quantised
from hdl.model.shards import tensor_files

from ..model.checkpoints import BERT, GPT2, write_model
from .commands import Run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small encoder with all files that one may have."""
    folder = tmp_path / "model"
    write_model(folder, BERT)
    (folder / "calibration.txt").write_text("the cat sat on a mat\nthe dog\n")
    (folder / "pool").mkdir()
    (folder / "pool" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    modules = [{"type": kind, "path": path} for kind, path in (("Transformer", ""), ("Pooling", "pool"))]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def quantise(capsys: pytest.CaptureFixture[str], model: Path, out: Path | str, *options: str) -> Run:
    return Run(capsys, "quantise", "--model", str(model), "--out", str(out), *options)


def test_the_first_line_says_what_was_quantised(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    out = model.parent / "deep" / "out.safetensors"
    run = quantise(capsys, model, out)
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        f"{model}: weights of {model / 'model.safetensors'}; tokeniser {model / 'tokenizer.json'}; "
        f"calibrated on 2 texts of {model / 'calibration.txt'}",
        f"pooling: the first token, not scaled ({model / 'pool' / 'config.json'})",
        f"{out}: {out.stat().st_size:,} bytes",
    ]
    assert load_quantised(out).source == f"weights of {model / 'model.safetensors'}"


def test_weights_in_shards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_model(tmp_path, GPT2, shards=2)
    index = tmp_path / "model.safetensors.index.json"
    run = quantise(capsys, tmp_path, tmp_path / "out")
    assert run.out.startswith(f"{tmp_path}: weights of {index}; ")
    for shard in tensor_files(index):
        said = quantise(capsys, tmp_path, shard, "--force").complaint()
        assert said == f"output file {shard} must not be one that quantise reads; choose another --out"


def test_an_earlier_output_is_replaced_and_nothing_else(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    out, mine = model.parent / "out", model.parent / "mine"
    assert quantise(capsys, model, out).code == 0
    assert quantise(capsys, model, out, "--static").code == 0
    assert all(load_quantised(out).layers[0].limits.values())
    for contents in (b"mine", b"", (model / "model.safetensors").read_bytes()):
        mine.write_bytes(contents)
        said = quantise(capsys, model, mine).complaint()
        assert said == (
            f"output file {mine} must be new or an earlier output of quantise; choose another --out, or replace the "
            "file with --force"
        )
        assert mine.read_bytes() == contents
    assert quantise(capsys, model, mine, "--force").code == 0
    load_quantised(mine)


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "tokenizer.json", "calibration.txt", "modules.json", "pool/config.json"],
)
@pytest.mark.parametrize("by", ["name", "hard link", "symbolic link"])
def test_what_is_read_is_never_replaced(capsys: pytest.CaptureFixture[str], model: Path, name: str, by: str) -> None:
    out, before = model / name, (model / name).read_bytes()
    if by != "name":
        out = model.parent / "out"
        os.link(model / name, out) if by == "hard link" else out.symlink_to(model / name)
    said = quantise(capsys, model, out, "--force").complaint()
    assert said == f"output file {out} must not be one that quantise reads; choose another --out"
    assert (model / name).read_bytes() == before


def test_the_built_in_weights_are_never_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    link = tmp_path / "out"
    link.symlink_to(Path(__file__).parents[2] / "hdl/model/trained/tiny-gpt2/model.safetensors")
    said = Run(capsys, "quantise", "--model", "tiny-gpt2", "--out", str(link), "--force").complaint()
    assert said == f"output file {link} must not be one that quantise reads; choose another --out"


def test_outputs_that_are_no_files(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    for out in ("/", str(model)):
        said = quantise(capsys, model, out).complaint()
        assert said == f"output {out} must be a file, not a folder; choose another --out"
    said = quantise(capsys, model, "").complaint()
    assert said == "Invalid value for '--out': a path must not be empty; see --help"
    pipe = model.parent / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        said = quantise(capsys, model, path, "--force").complaint()
        assert said == f"output {path} must be a file, not a device or a pipe; choose another --out"


def test_a_disk_that_is_full(capsys: pytest.CaptureFixture[str], model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hdl.model.safetensors.written", full)
    out = model.parent / "out"
    assert quantise(capsys, model, out).complaint() == f"output file {out} cannot be written: No space left on device"
    assert not out.exists()
