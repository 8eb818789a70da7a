"""What outputs about estimates say of `emit`: the command that they print plans the design that they name."""

from typing import Any

import pytest

from hdl.model.load import load_network
from hdl.model.weightbits import W4
from hdl.perf import estimate, load_device
from hdl.top import emit as emission
from hdl.top import planned as planning
from hdl.top.cli import main
from hdl.top.emitted import described, emitted

from .commands import Run


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[Any]:
    """The specs of emissions, which take no time and go to a folder of their own."""
    specs: list[Any] = []

    def files_of(spec: Any, *arguments: Any, **options: Any) -> dict[str, str]:
        specs.append(spec)
        return {"rtl/pipeline.v": "module\n", "manifest.json": '{"generator": {"name": "spatial-llm"}}\n'}

    monkeypatch.setattr(emission, "files_of", files_of)
    monkeypatch.chdir(tmp_path)
    return specs


def test_an_encoder_s_estimate_is_of_what_emit_makes(capsys: pytest.CaptureFixture[str], planned: list[Any]) -> None:
    run = Run(capsys, "--model", "tiny-bert", "estimate", "--prompt", "24", "--tile", "8", "--clock", "200")
    lines, found = run.out.splitlines(), estimate("tiny-bert", "u280", prompt=24, tile=8, clock_mhz=200)
    assert lines[:2] == [
        f"Design of this estimate: {described(found.design)}.",
        "emit makes this design, with constraints for 300 MHz and not for 200:",
    ]
    (command,) = run.printed
    assert lines[2].endswith("emit --device u280 --max-length 24 --tile 8")
    assert main(command) == 0
    assert planned == [found.design.spec]


def test_a_decoder_s_estimate_names_what_emit_makes(capsys: pytest.CaptureFixture[str], planned: list[Any]) -> None:
    options = "--tile 2 --weight-bits 4"
    run = Run(capsys, "--model", "tiny-gpt2", "estimate", "--prompt", "24", "--output", "8", *options.split())
    lines = run.out.splitlines()
    assert lines[0].startswith("Design of this estimate: ")
    (command,) = run.printed
    assert command == ["--model", "tiny-gpt2", "emit", "--device", "u280", "--max-length", "32", *options.split()]
    assert main(command) == 0
    assert lines[1] == (
        "emit does not make it. It makes another design, which describe shows "
        f"(spatial, tiles of {planned[0].rows} tokens, {planned[0].resources.dsp:,} DSPs):"
    )
    assert planned[0].weight_bits == W4
    assert planned[0].max_length == 32


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("opt-125m", "", "networks of the family opt are only estimated; hardware is for bert and gpt2"),
        ("tiny-gpt2", "--sequences 2", "a decoder works on one sequence at a time, not 2"),
        (
            "tiny-gpt2",
            "--device vck5000",
            "pipelines are for devices of the family ultrascale+, not versal as 'vck5000'",
        ),
        ("tiny-gpt2", "--device u55c", "device 'u55c' has no constraints for emit; devices with them: u280"),
    ],
)
def test_what_emit_does_not_make(capsys: pytest.CaptureFixture[str], model: str, options: str, reason: str) -> None:
    run = Run(capsys, "--model", model, "estimate", "--tile", "4", "--prompt", "16", "--output", "4", *options.split())
    assert (run.code, run.err, run.printed) == (0, "", [])
    first = " ".join(run.out.split())
    assert f"DSPs. emit makes no design for this work: {reason}. {model} on" in first


def test_a_path_is_quoted_in_a_command() -> None:
    network = load_network("tiny-bert")
    assert "--model 'my models/a' emit" in emitted(network, load_device("u280"), model="my models/a", tokens=8).command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("emit --model tiny-bert --device u250", "device 'u250' has no constraints for emit; devices with them: u280"),
        ("emit --model gpt2-large", "array contraction must have at most 4096 terms, not 5120"),
        ("describe --model gpt2-xl", "array contraction must have at most 4096 terms, not 6400"),
    ],
)
def test_refusals_come_before_planning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.setattr(planning, "plan", lambda *anything, **options: pytest.fail("planned"))
    assert Run(capsys, *arguments.split()).complaint().endswith(message)


def test_list_marks_what_emit_makes(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "list")
    rows = {words[0]: words[-1] for line in run.out.splitlines() if (words := line.split())}
    assert [rows[name] for name in ("gpt2-medium", "gpt2-large", "gpt2-xl", "llama-2-7b")] == ["yes", "no", "no", "no"]
    assert [rows[name] for name in ("u280", "u55c", "a100")] == ["yes", "no", "no"]
    assert "gpt2-xl: estimates only, no emit: array contraction must have at most 4096 terms, not 6400." in run.out
