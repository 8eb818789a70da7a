"""``python -m sim`` writes text with a decoder, and says where a candidate is not the reference's."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hdl.model.reference import Candidates
from sim import demonstration
from sim.command import main
from sim.decoder import DecoderSimulation
from sim.generate import first_mismatch
from tests.model.checkpoints import write_model
from tests.model.networks import gpt2
from tests.top.decoder.designs import SMALL
from tests.top.sources import EFFORT, SharedEmitter

LETTERS = "andwhos.,-!"

NETWORK = gpt2(
    "gpt2", layers=SMALL.max_layers, hidden=SMALL.hidden, heads=SMALL.heads, intermediate=SMALL.intermediate,
    max_positions=24, vocabulary=len(LETTERS),
)  # fmt: skip
"""A model for a design that another test simulates."""


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments that name a small decoder, whose tokens are letters; its tokeniser knows one, ``?``, that the
    model does not. A device's worth of hardware would take long to build: it gets as little as there can be."""
    monkeypatch.setattr(demonstration, "plan", lambda *model, **options: SMALL)
    monkeypatch.setattr(demonstration, "Emitter", SharedEmitter)
    monkeypatch.setattr(DecoderSimulation, "verilated", partial(DecoderSimulation.verilated, optimise=EFFORT))
    write_model(tmp_path, NETWORK)
    tokeniser = Tokenizer(models.WordLevel({letter: id for id, letter in enumerate(LETTERS + "?")}, unk_token="-"))
    tokeniser.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokeniser.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "calibration.txt").write_text("any text\nwill do\n")
    return ["--model", str(tmp_path / "config.json"), "--checkpoint", str(tmp_path), "--threads", "1"]


def test_text_is_written_to_the_last_position_and_bit_exact(
    decoder: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for arguments in (["--temperature", "0"], ["--top-k", "1"], ["--top-k", "64", "--seed", "7"]):
        assert main([*decoder, "--prompt", "and", "--tokens", "6", *arguments]) == 0
        output = capsys.readouterr().out
        texts.append(output.splitlines()[1])  # after the line that names the weights
        assert texts[-1].startswith("a n d ")
        # The vocabulary is smaller than the 64 candidates that a decoder offers at most.
        each = {"0": len(LETTERS), "1": 1, "64": len(LETTERS)}[arguments[1]]
        assert f"bit-exact: all {6 * each} candidates and their logits equal the integer reference's" in output
    # Temperature 0 takes the best, as a draw among one does.
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--prompt", "who?", "--tokens", "2"],
            "token ids for model '{name}' must be 0..10, not 11; is it another tokeniser's?",
        ),
        (
            ["--prompt", "and", "--tokens", "7"],
            "prompt and tokens must take at most max-length 8 positions, not 9",
        ),
        (
            ["--prompt", "and so on", "--tokens", "2"],
            "text 'and so on' must have at most 8 tokens, not 9; shorten it or raise --max-length",
        ),
    ],
)
def test_what_the_decoder_would_refuse_is_one_line_before_the_build(
    decoder: list[str], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*decoder, *arguments]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"error: {message.format(name=Path(decoder[3]).name)}\n")


def test_text_is_shown_as_it_is(decoder: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, ``:smile:`` is no emoji, and two tokens that are the bytes of a character are one."""
    words = ["[/b]", ":smile:", "\u00c3", "\u00a9", *LETTERS[4:]]
    tokeniser = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="-"))
    tokeniser.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokeniser.decoder = decoders.ByteLevel()
    tokeniser.save(str(Path(decoder[3]) / "tokenizer.json"))
    assert main([*decoder, "--prompt", " ".join(words[:4]), "--tokens", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("[/b]:smile:é")


def test_a_candidate_that_is_wrong_is_named() -> None:
    ids, logits = np.array([5, 3, 2]), np.array([9, 7, 7])
    expected = Candidates(ids, logits)
    assert first_mismatch(Candidates(ids.copy(), logits.copy()), expected, 4) is None
    found = Candidates(np.array([5, 2, 3]), logits)
    assert first_mismatch(found, expected, 4) == (
        "step 4, candidate 1: token 2 with 7 instead of token 3 with 7 (2 of 3 differ)"
    )
    found = Candidates(ids, np.array([9, 7, 6]))
    assert first_mismatch(found, expected, 0) == (
        "step 0, candidate 2: token 2 with 6 instead of token 2 with 7 (1 of 3 differ)"
    )
