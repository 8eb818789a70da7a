"""The command `estimate`."""

import json
import re

import pytest

from hdl.model.load import networks
from hdl.perf import estimate
from hdl.top.estimate_tables import bounds

from .commands import Run


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "--model", "gpt2", "estimate", "--tile", "4")
    assert (run.code, run.err) == (0, "")
    for text in (
        "first token",
        "tokens per second",
        "energy per token",
        "memory ports",
        "crossings",
        "ffn2",
        "300 MHz",
    ):
        assert text in " ".join(run.out.split())
    found = estimate("gpt2", "u280", tile=4)
    assert f"{found.tokens_a_second:,.1f}" in run.out
    rows = {line[2:20].strip(): line for line in run.out.splitlines()}
    for one in found.constraints:
        assert len(re.findall(rf"\d {one.unit}", rows[one.name])) == 2
    assert found.token is not None
    assert found.token.bound == "memory"
    said = " ".join(run.out.split())
    assert f"at least {1e6 * found.token.memory_limit:.1f} us at 460 GB/s: the limit is memory. The units take" in said
    assert f"uses {found.token.memory_limit / found.token.seconds:.0%} of the peak bandwidth. The tokens of a" in said
    assert "so the constraint prompt bandwidth is at " in said


def test_units_or_memory_set_the_time() -> None:
    small, large = (estimate(model, "u280", tile=4, prompt=16, output=8) for model in ("tiny-gpt2", "llama-3.2-1b"))
    assert "without waits for memory; they set its time. It reads" in bounds(small)[1]
    assert "without waits for memory; they wait for memory. It reads" in bounds(large)[1]
    (text,) = bounds(estimate("tiny-bert", "u280", tile=4, prompt=16))
    assert text.startswith("The text needs ")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "estimate", "--model", "llama-3.2-1b", "--weight-bits", "4", "--prompt", "32", "--json")
    assert (run.code, run.err) == (0, "")
    shown = json.loads(run.out)
    assert next(iter(shown)) == "emit"
    reason = "there is no hardware yet for RMSNorm, rotary positions, gates and shared heads of keys and values"
    assert shown.pop("emit") == {"command": None, "refusal": reason}
    assert shown == json.loads(json.dumps(estimate("llama-3.2-1b", "u280", weight_bits=4, prompt=32).as_dict()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", f"a model must be given with --model; known: {', '.join(networks())}, or a path to a config.json"),
        ("--model gpt3", "model 'gpt3' is unknown, did you mean 'gpt2'?; known: "),
        ("--model gpt2 --device u20", "device 'u20' is unknown, did you mean '"),
        ("--model gpt2 --prompt -1", "prompt must be at least 1 token, not -1"),
        (
            "--model gpt2 --prompt 1025",
            "prompt and output of model 'gpt2' must be at most its 1024 positions, not 1025",
        ),
        ("--model gpt2 --prompt x", "Invalid value for '--prompt': 'x' is not a whole number; see --help"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert Run(capsys, "estimate", *arguments.split()).complaint().startswith(message)
