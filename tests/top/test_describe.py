"""The sentences of `describe`: what is counted, and what is an assumption."""

import pytest

from hdl.perf.device import load_device

from .commands import Run


def test_an_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "describe", "--model", "tiny-bert", "--max-length", "16")
    said = " ".join(run.out.split())
    assert said.endswith(
        f"ms; the cycles are counted by a model of the design, and the clock of {load_device('u280').clock_mhz} MHz is "
        "an assumption"
    )
    assert "16 tokens through 2 layers: " in said


def test_a_decoder(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "describe", "--model", "tiny-gpt2", "--max-length", "16", "--tile", "4")
    said = " ".join(run.out.split())
    assert "a prompt of 16 tokens: " in said
    assert "; the last token of a text of that length: " in said
    assert said.endswith(
        "the cycles are counted by a model of the design and of its memory, and the clock of 300 MHz is an assumption; "
        "weights of 8 bits"
    )
    assert "weights at hand" not in said
