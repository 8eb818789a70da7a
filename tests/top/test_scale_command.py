"""The command `scale`."""

import json

import pytest

from hdl.perf import scaling
from hdl.top.console import PLAIN_WIDTH

from .commands import Run


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "--model", "llama-2-7b", "scale", "--devices", "2")
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.out.splitlines())) <= PLAIN_WIDTH
    assert "llama-2-7b on several Alveo U280: 128 tokens and 64 more" in run.out
    assert "25 GB/s and 1 us per message" in " ".join(run.out.split())
    for one in scaling("llama-2-7b", "u280", 2):
        row = next(line for line in run.out.splitlines() if line.split()[:1] == [str(one.devices)])
        for text in (f"{one.tensor} x {one.pipeline}", f"{one.tokens_a_second:.1f}", f"{one.efficiency:.1%}"):
            assert text in row
        assert row.rstrip().endswith(one.reason)


def test_shares_are_only_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--devices", "1", "--tile", "4", "--prompt", "16", "--output", "8")
    run = Run(capsys, "--model", "tiny-gpt2", "scale", *options)
    assert (run.code, run.err, run.printed) == (0, "", [])
    kind = scaling("tiny-gpt2", "u280", 1, tile=4, prompt=16, output=8)[0].split.stages[0].estimate.design.kind
    said = " ".join(run.out.split())
    assert said.startswith(f"Estimated only: a {kind} design on each device, for its share of the model. ")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--devices", "2", "--sequences", "2", "--weight-bits", "4", "--prompt", "32", "--output", "8", "--json")
    run = Run(capsys, "scale", "--model", "tinyllama-1.1b", "--device", "u55c", *options)
    assert (run.code, run.err) == (0, "")
    found = scaling("tinyllama-1.1b", "u55c", 2, sequences=2, weight_bits=4, prompt=32, output=8)
    assert json.loads(run.out) == json.loads(json.dumps([one.as_dict() for one in found]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "a model must be given with --model; known: "),
        ("--model gpt2 --devices 65", "devices must be 1 to 64 (larger rings are not estimated), not 65"),
        ("--model gpt2 --devices 0", "devices must be 1 to 64 (larger rings are not estimated), not 0"),
        ("--model gpt2 --tensor 5", "tensor must divide the 12 heads of model 'gpt2' and its 12 kv_heads, not 5; "),
        ("--model gpt2 --device vhk158", "device 'vhk158' must have links to others, but none are known; "),
        ("--model gpt2 --prompt 0", "prompt must be at least 1 token, not 0"),
        ("--model gpt2 --devices x", "Invalid value for '--devices': 'x' is not a whole number; see --help"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert Run(capsys, "scale", *arguments.split()).complaint().startswith(message)
