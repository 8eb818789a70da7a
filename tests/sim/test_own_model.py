"""``python -m sim`` on a model of the user's: what is wrong with it is said before anything takes long."""

from dataclasses import replace
from pathlib import Path

import pytest

from hdl.model.network import Network
from hdl.model.origin import RANDOM_REMEDY

from ..model.checkpoints import BERT, GPT2, write_model
from .refusals import refused


def test_random_weights_must_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["--model", "tiny-bert", "--text", "Hi"], capsys)
    assert line == f"model 'tiny-bert' has no built-in weights; {RANDOM_REMEDY}"


@pytest.mark.parametrize(("spec", "text"), [(BERT, "--text"), (GPT2, "--prompt")])
def test_texts_are_checked_before_weights_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, spec: Network, text: str
) -> None:
    write_model(tmp_path, spec)
    (tmp_path / "model.safetensors").write_bytes(b"")
    model = ["--model", str(tmp_path), text]
    line = refused([*model, "the " * 17], capsys)
    assert line.endswith("must have at most 16 tokens, not 17; shorten it or raise --max-length")
    assert refused([*model, "caf\udce9"], capsys) == "text 'caf\\udce9' must be in UTF-8"
    assert refused([*model, "the", *(["--tokens", "2"] if spec is GPT2 else [])], capsys) == (
        f"{tmp_path / 'model.safetensors'} must be a safetensors file, but has 'header too small' in its header; "
        "get it again"
    )
    if spec is GPT2:
        line = refused([*model, "the cat", "--tokens", "16"], capsys)
        assert line == "prompt and tokens must take at most max-length 16 positions, not 17"


def test_a_tokeniser_of_another_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_model(tmp_path, replace(BERT, vocabulary=4))
    line = refused(["--model", str(tmp_path), "--text", "the dog"], capsys)
    assert line == f"token ids for model '{tmp_path.name}' must be 0..3, not 7; is it another tokeniser's?"
