"""The command line: what it prints, and that every mistake is one line on stderr and exit code 2."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hdl.model.load import load_model, networks, presets
from hdl.model.quantisedfile import load_quantised
from hdl.model.weightbits import WeightBits
from hdl.perf.choice.built import plan
from hdl.perf.device import Region, devices, load_device
from hdl.top import emit as emission
from hdl.top import planned
from hdl.top.console import PLAIN_WIDTH

from .commands import Run

ROOT = Path(__file__).parents[2]
KNOWN = f"known: {', '.join(presets())}, or a path to a config.json"

OF_TINY = "the positions of model 'tiny-bert'"

ENCODERS = "weight-bits of an encoder must be 8, not 4; only a decoder's may be less"

CONFIG = {
    "model_type": "bert", "num_hidden_layers": 1, "hidden_size": 4096, "num_attention_heads": 64,
    "intermediate_size": 4096, "max_position_embeddings": 64, "vocab_size": 300, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "hidden_act": "gelu",
}  # fmt: skip
"""A network too large for every device there is."""


MANIFEST = '{"generator": {"name": "spatial-llm"}, "files": ["manifest.json", "rtl/pipeline.v"]}\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Emissions that take no time; the specs that were to be emitted."""
    specs: list[Any] = []

    def files_of(spec: Any, *arguments: Any, **options: Any) -> dict[str, str]:
        specs.append(spec)
        return {"rtl/pipeline.v": "module\n", "manifest.json": MANIFEST}

    monkeypatch.setattr(emission, "files_of", files_of)
    return specs


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "list")
    assert (run.code, run.err) == (0, "")
    rows = [line.split() for line in run.out.splitlines()]
    assert ["bert-base", "bert", "12", "768", "12", "3,072", "512", "108,768,768", "yes"] in rows
    assert ["u280", "Alveo", "U280", "9,024", "2,016", "960", "1,303,680", "HBM2", "460", "yes"] in rows
    assert {*networks(), *devices()} < {row[0] for row in rows if row}


def test_list_says_which_devices_a_command_takes(capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(Run(capsys, "list").out.split())
    assert said.endswith(
        "estimate, explore, scale, compare and report take kv260, u250, u280, u50, u55c, vck5000, vhk158; describe, "
        "emit and sim take u280, u50, u55c, and sim runs decoders on u280, whose memory has its timing in the device's "
        "file."
    )


@pytest.mark.parametrize("arguments", [("--model", "tiny-bert", "describe"), ("describe", "--model", "tiny-bert")])
def test_describe(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    run = Run(capsys, *arguments, "--tile", "2", "--max-length", "40")
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.out.splitlines())) <= PLAIN_WIDTH
    lines = run.out.splitlines()
    assert lines[0].rstrip() == "tiny-bert on Alveo U280, 2 tokens per tile, at most 40 tokens"
    rows = {words[0]: words[1:] for line in lines if (words := line.split())}
    spec = plan(load_model("tiny-bert"), load_device("u280"), tile=2, max_length=40)
    assert set(spec.units) < set(rows)
    array, taken = spec.linear("qkv").array, spec.linear("qkv").resources
    shape = f"2 x {array.columns} x {array.depth}"
    speed = f"{array.macs:,} {spec.tile_cycles(40)['qkv']}"
    assert (
        " ".join(rows["qkv"]) == f"{shape} {speed} {taken.dsp} {taken.bram36:g} {taken.uram} {taken.lut:,} {taken.ff:,}"
    )
    assert rows["all"][0] == f"{spec.macs:,}"
    assert "40 tokens through 2 layers: " in run.out


def test_describe_a_part_of_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "describe", "--model", "tiny-bert", "--share", "0.05")
    assert (run.code, run.err) == (0, "")
    dsps = plan(load_model("tiny-bert"), load_device("u280"), share=0.05).resources.dsp
    told = (
        f"planned for 0.05 of u280 (--share): it takes {dsps:,} of the 9,024 DSPs, {dsps / 9024:.1%}, and more cycles "
        "than the full size, which is planned without --share"
    )
    assert told in " ".join(run.out.split())


def test_a_command_s_own_model_goes_before_the_one_given_earlier(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "--model", "bert-base", "describe", "--model", "tiny-bert")
    assert run.out.startswith("tiny-bert on ")


def test_emit(
    capsys: pytest.CaptureFixture[str], quick: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(capsys, "--model", "tiny-bert", "emit")
    assert (run.code, run.err) == (0, "")
    speed = f"{quick[0].macs:,} MAC/cycle"
    told = f"build/tiny-bert-u280: 1 modules in 7 bytes of Verilog, {speed}, flow vitis; see README.md there\n"
    assert run.out == told
    assert (tmp_path / "build/tiny-bert-u280/rtl/pipeline.v").is_file()
    options = ("--out", "x/y", "--tile", "8", "--max-length", "9", "--flow", "vivado")
    run = Run(capsys, "emit", "--model", "tiny-bert", *options)
    assert (run.code, run.err) == (0, "")
    assert run.out.endswith(", flow vivado; see manifest.json there\n")
    assert (tmp_path / "x/y/manifest.json").is_file()
    assert [(spec.rows, spec.max_length) for spec in quick] == [(4, 128), (8, 9)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("describe", f"a model must be given with --model; {KNOWN}"),
        ("quantise --out x", f"a model must be given with --model; {KNOWN}"),
        ("--model bert-bsae emit", f"model 'bert-bsae' is unknown, did you mean 'bert-base'?; {KNOWN}"),
        ("emit --model nothing", f"model 'nothing' is unknown; {KNOWN}"),
        (
            "emit --model opt-125m",
            "model 'opt-125m' must be of the family bert, gpt2, llama, mistral, qwen2, qwen3, vit or deit, not opt; "
            "estimate knows it",
        ),
        ("emit --model tiny-bert --weight-bits 4", ENCODERS),
        ("emit --model gpt2 --weight-bits 3", "weight-bits must be 8 or 4, not 3"),
        ("describe --model tiny-bert --weight-bits 4", ENCODERS),
        ("quantise --model tiny-bert --weight-bits 4 --out x", ENCODERS),
        (
            "emit --model gpt2 --weight-bits 4 --int8 heads",
            "int8 must be of qkv, projection, ffn1, ffn2, head, not 'heads'",
        ),
        (
            "describe --model gpt2 --int8 head",
            "int8 must go with weight-bits 4, not with 8, which is that of all products; leave it out",
        ),
        (
            "estimate --model gpt2 --int8 head",
            "int8 must go with weight-bits 4, not with 8, which is that of all products; leave it out",
        ),
        ("emit --model no/config.json", "model file no/config.json cannot be read: No such file or directory"),
        ("emit --model tiny-bert --device nil", f"device 'nil' is unknown; known: {', '.join(devices())}"),
        (
            "emit --model tiny-bert --flow quartus",
            "Invalid value for '--flow': 'quartus' is not one of 'vitis', 'vivado'; see --help",
        ),
        ("emit --model tiny-bert --tile 3", "tile must be 2, 4 or 8 tokens, not 3"),
        ("emit --model tiny-bert --tile -4", "tile must be 2, 4 or 8 tokens, not -4"),
        ("emit --model tiny-bert --tile 4.5", "Invalid value for '--tile': '4.5' is not a whole number; see --help"),
        ("emit --model tiny-bert --max-length 0", f"max-length must be 1 to 128, {OF_TINY}, not 0"),
        ("emit --model tiny-bert --max-length -1", f"max-length must be 1 to 128, {OF_TINY}, not -1"),
        ("emit --model tiny-bert --max-length 129", f"max-length must be 1 to 128, {OF_TINY}, not 129"),
        ("quantise --model tiny-bert", "Missing option '--out'; see --help"),
        ("", "Missing command; see --help"),
        ("zip", "No such command 'zip'; see --help"),
        ("emit --model tiny-bert more", "Got unexpected extra argument (more); see --help"),
    ],
)  # fmt: skip
def test_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Run(capsys, *arguments.split()).complaint() == message
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_fit_is_refused_with_what_lacks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    run = Run(capsys, "emit", "--model", str(tmp_path / "config.json"), "--out", str(tmp_path / "out"))
    name = tmp_path.name
    assert run.complaint().startswith(
        f"model '{name}' on device 'u280' with tiles of 4 or 2: the smallest geometry does not fit: "
    )
    assert run.err.endswith(" URAM288 needed, 768 planned (80% of 960)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    few = Region(dsp=300, bram36=2000, uram=900, lut=1_000_000, ff=2_000_000)
    small = load_device("u280").model_copy(update={"name": "small", "slrs": (few,)})
    monkeypatch.setattr(planned, "load_device", lambda name: small)
    run = Run(capsys, "describe", "--model", "tiny-bert", "--device", "small", "--tile", "8")
    assert run.complaint().endswith(" DSP48E2 needed, 240 planned (80% of 300)")


@pytest.mark.usefixtures("quick")
def test_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    run = Run(capsys, "emit", "--model", "tiny-bert", "--out", str(tmp_path))
    assert run.complaint().startswith(f"output folder {tmp_path} must be empty or an earlier emission")
    run = Run(capsys, "emit", "--model", "tiny-bert", "--out", "/proc/nothing")
    assert run.complaint().startswith("output folder /proc/nothing cannot be written: ")
    below = str(tmp_path / "mine" / "below")
    run = Run(capsys, "quantise", "--model", "tiny-bert", "--random-weights", "--out", below)
    assert run.complaint() == f"output file {below} cannot be written: {tmp_path / 'mine'} is not a folder"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("option", ["--out", "--point"])
def test_an_empty_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """An unset variable of a shell must not mean the current folder."""
    monkeypatch.chdir(tmp_path)
    run = Run(capsys, "emit", "--model", "tiny-bert", option, "")
    assert run.complaint() == f"Invalid value for '{option}': a path must not be empty; see --help"
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_is_not_replaced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for name in (".", ".."):
        said = Run(capsys, "emit", "--model", "tiny-bert", "--out", name).complaint()
        folder = Path(name).resolve()
        assert said == f"output folder {folder} must not be the current folder or hold it; choose another --out"


def test_a_model_whose_matrices_are_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    said = Run(capsys, "describe", "--model", "gpt2-xl").complaint()
    reason = "array contraction must have at most 4096 terms, not 6400"
    assert said == f"model 'gpt2-xl' cannot be built yet: {reason}"


def test_quantise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, flags in (("dynamic", []), ("static", ["--static"])):
        out = tmp_path / name
        run = Run(capsys, "quantise", "--model", "tiny-bert", "--random-weights", "--out", str(out), *flags)
        assert (run.code, run.err) == (0, "")
        assert run.out.splitlines() == [
            "tiny-bert: random weights, seed 1; bytes as tokens, guessed from the vocabulary of 260 entries; "
            "calibrated on the project's own English texts",
            "pooling: the mean of the tokens, scaled to length 1 (assumed, as the model says none)",
            f"{out}: {out.stat().st_size:,} bytes",
        ]
        limits = [layer.limits.values() for layer in load_quantised(out).layers]
        assert all(all(limit) if flags else not any(limit) for limit in limits)


def test_products_of_other_bits(capsys: pytest.CaptureFixture[str], quick: list[Any], tmp_path: Path) -> None:
    wanted, out = ["--weight-bits", "4", "--int8", "head", "--int8", "ffn1"], tmp_path / "out"
    run = Run(capsys, "quantise", "--model", "tiny-gpt2", "--out", str(out), *wanted)
    assert (run.code, run.err) == (0, "")
    assert load_quantised(out).weight_bits == WeightBits.of(4, ("ffn1", "head"))
    run = Run(capsys, "emit", "--model", "tiny-gpt2", "--max-length", "16", "--out", str(tmp_path / "folder"), *wanted)
    assert (run.code, run.err) == (0, "")
    assert [spec.weight_bits for spec in quick] == [WeightBits.of(4, ("ffn1", "head"))]


def test_quantise_without_the_checkpoint_that_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "no.safetensors"
    run = Run(capsys, "quantise", "--model", "tiny-bert", "--out", str(tmp_path / "out"), "--checkpoint", str(missing))
    assert run.complaint() == f"weights {missing} cannot be read: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_the_midst_of_it_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hdl.top", "--model", "tiny-bert", "emit", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(tmp_path.iterdir()):  # until it has begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (2, "", "interrupted; nothing was written")
    assert list(tmp_path.iterdir()) == []
