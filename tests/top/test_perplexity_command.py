"""The command `perplexity`."""

from pathlib import Path

import pytest

from .commands import Run

HELD_BACK = Path(__file__).parents[2] / "hdl" / "model" / "trained" / "tiny-gpt2" / "held_back.txt"


def rows(out: str) -> dict[str, list[str]]:
    """The figures of a table by the name of their row."""
    lines = [line.split("  ") for line in out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return {row[0]: row[1:] for row in cells if len(row) > 1}


def test_formats_stand_beside_float32(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--length", "48", "--parts", "2", "--weight-bits", "8", "--weight-bits", "4", "--int8", "head")
    run = Run(capsys, "--model", "tiny-gpt2", "perplexity", "--text", str(HELD_BACK), *options)
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("tiny-gpt2: 2 parts of 48 tokens")
    found = rows(run.out)
    (expected,) = found["float32"]
    for name, most in (("integers, weights of 8 bits", 1.01), ("integers, weights of 4 bits but 8 of head", 1.1)):
        perplexity, ratio, divergence, same = map(float, found[name])
        assert perplexity == pytest.approx(float(expected) * ratio, rel=1e-3)
        assert 1 / most < ratio < most
        assert 0 < divergence < 0.02
        assert same > 0.9


def test_float32_alone(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "perplexity", "--model", "tiny-gpt2", "--text", str(HELD_BACK), "--parts", "1", "--float")
    assert (run.code, run.err) == (0, "")
    assert list(rows(run.out)) == ["perplexity", "float32"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--model tiny-gpt2", "Missing option '--text'; see --help"),
        ("--text a", "a model must be given with --model; known: "),
        ("--model tiny-gpt2 --text a", "text a cannot be read: No such file or directory"),
        ("--model tiny-gpt2 --text short", "text short must have at least 256 tokens, not "),
        ("--model tiny-gpt2 --text short --length 1", "length must be 2 to 256, the positions of 'tiny-gpt2', not 1"),
        (
            "--model tiny-gpt2 --text short --length 257",
            "length must be 2 to 256, the positions of 'tiny-gpt2', not 257",
        ),
        ("--model tiny-gpt2 --text short --parts 0", "parts must be at least 1, not 0"),
        ("--model tiny-gpt2 --text short --weight-bits 3", "weight-bits must be 8, 5 or 4, not 3"),
        (
            "--model minilm-l6 --text short",
            "model 'minilm-l6' must be a decoder, which has a perplexity, ",
        ),
        ("--model gpt2 --text short", "model 'gpt2' has no built-in weights; "),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("A short text.")
    assert Run(capsys, "perplexity", *arguments.split()).complaint().startswith(message)
