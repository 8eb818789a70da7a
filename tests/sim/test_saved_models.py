"""A BERT and a GPT-2 that transformers saved, through the three commands of the README: sharded, in bfloat16, each with
a tokeniser for characters of several bytes."""

import shlex
import shutil
import warnings
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from hdl.model.quantisedfile import load_quantised
from hdl.top.cli import main as generate_hardware
from sim import demonstration
from sim.command import main
from sim.decoder import DecoderSimulation
from tests.fixtures.make_models import make_models
from tests.model.networks import head, layer
from tests.top.decoder.designs import SMALL
from tests.top.designs import TINY
from tests.top.sources import SharedEmitter

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder with both models; made anew where transformers is installed."""
    path = tmp_path_factory.mktemp("models")
    if find_spec("transformers") and find_spec("torch"):
        with warnings.catch_warnings():  # of packages that are not the project's
            warnings.simplefilter("ignore")
            make_models(path)
    for name in ("bert", "gpt2"):
        source = path if (path / name).exists() else FIXTURES
        shutil.copytree(source / name, path / f"my-{name}")
    return path


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def command(program: str, place: int) -> list[str]:
    """The arguments of one of the commands in the README's section."""
    section = (ROOT / "README.md").read_text().split("\n## Your own model\n")[1].split("\n## ")[0]
    words = shlex.split([line for line in section.splitlines() if line.startswith("    .venv/bin/python")][place])
    assert words[:3] == [".venv/bin/python", "-m", program]
    return words[3:]


def told(name: str) -> str:
    """The first line of a result."""
    return (
        f"{name}: weights of {name}/model.safetensors.index.json; tokeniser {name}/tokenizer.json; "
        f"calibrated on 6 texts of {name}/calibration.txt"
    )


@pytest.mark.usefixtures("here")
def test_text_through_a_bert(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # A device's worth of hardware would take long to build: it gets a pipeline that other tests simulate.
    monkeypatch.setattr(demonstration, "plan", lambda *model, **options: TINY)
    monkeypatch.setattr(demonstration, "Emitter", SharedEmitter)
    assert main([*command("sim", 0), "--threads", "1"]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == told("my-bert")
    assert lines[1] == "pooling: the first token, scaled to length 1 (my-bert/1_Pooling/config.json)"
    assert any(line.startswith("bit-exact: all ") for line in lines)
    notes = [line for line in output.err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: my-bert/model.safetensors.index.json: the tensors of cls are ignored; "
        "the hardware computes the layers without them"
    ]


@pytest.mark.usefixtures("here")
def test_text_out_of_a_gpt2(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # A device's worth of hardware would take long to build: it gets little.
    spec = replace(SMALL, layer=layer("gpt2", 32, 2, 64), head=head("gpt2", 32, 300), max_length=32)
    monkeypatch.setattr(demonstration, "plan", lambda *model, **options: spec)
    monkeypatch.setattr(DecoderSimulation, "verilated", partial(DecoderSimulation.verilated, optimise="-O0"))
    assert main(command("sim", 1)) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == told("my-gpt2")
    assert lines[1].startswith("Le café coûte 3 €")
    assert "bit-exact: all 160 candidates and their logits equal the integer reference's" in lines
    assert "note: " not in output.err


def test_a_gpt2_quantised(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_hardware(command("hdl.top", 2)) == 0
    size = (here / "my-gpt2-int8.safetensors").stat().st_size
    assert capsys.readouterr().out.splitlines() == [told("my-gpt2"), f"my-gpt2-int8.safetensors: {size:,} bytes"]
    assert load_quantised(here / "my-gpt2-int8.safetensors").network.vocabulary == 300
