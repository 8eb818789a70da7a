"""Text of tokens that come one by one: nothing is given out that a later token changes, and nothing is lost."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hdl.model.textstream import TextStream, settled_by

WORDS = "café crème 5 € naïve 日本 😀😃 e\u0301 \ufffd don't . stop"
TOKENS = ["[UNK]", "he", "##llo", ".", "'", "s", "n't", "▁a", "▁b", "c", " ", "ab", "é"]
VOCABULARY = [*TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))]
EURO = [len(TOKENS) + byte for byte in "€".encode()]
WRONG = len(TOKENS) + 0xFF


@pytest.fixture(scope="module")
def bytelevel() -> Tokenizer:
    """A byte-level BPE as GPT-2 has it, trained on a few words of characters of up to 4 bytes."""
    tokeniser = Tokenizer(models.BPE())
    tokeniser.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokeniser.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokeniser.train_from_iterator(WORDS.split(), trainer)
    tokeniser.add_special_tokens([AddedToken("<end>", special=True)])
    return tokeniser


def pieces(tokeniser: Tokenizer, ids: Iterable[int]) -> list[str]:
    """What a stream gives out after each id, and at the end."""
    stream = TextStream(tokeniser.decode, settled_by(tokeniser))
    return [*(stream.push([one]) for one in ids), stream.end()]


def test_a_character_of_several_tokens_comes_with_its_last_one(bytelevel: Tokenizer) -> None:
    for text in ("é€😀", "a é"):
        ids = [index for index in map(bytelevel.encode, text) for index in index.ids]
        given = pieces(bytelevel, ids)
        assert "".join(given) == text
        assert [piece for piece in given if piece] == list(text)


def test_all_pieces_are_the_text_and_none_is_given_early(bytelevel: Tokenizer) -> None:
    ids = bytelevel.encode(WORDS).ids
    assert len(ids) > len(WORDS.split())
    given = pieces(bytelevel, ids)
    assert "".join(given) == WORDS
    assert given[-1] == ""


def test_what_is_incomplete_at_the_end_is_given_at_the_end(bytelevel: Tokenizer) -> None:
    ids = bytelevel.encode("Z€").ids[:-1]
    given = pieces(bytelevel, ids)
    assert "".join(given[:-1]) == "Z"
    assert given[-1] == "\ufffd"


def test_bytes_that_are_no_character_hold_nothing_up(bytelevel: Tokenizer) -> None:
    byte = bytelevel.encode("€").ids[-1:]
    assert [len(piece) for piece in pieces(bytelevel, byte * 5)] == [0, 1, 1, 1, 1, 1]


def vocabulary(decoder: object) -> Tokenizer:
    """A tokeniser of all `TOKENS` and all bytes, with that decoder."""
    tokeniser = Tokenizer(models.WordLevel({token: index for index, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokeniser.add_special_tokens([AddedToken("[UNK]", special=True)])
    if decoder is not None:
        tokeniser.decoder = decoder
    return tokeniser


LLAMA = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]

DECODERS = {
    "none": None,
    "WordPiece": decoders.WordPiece(),
    "Metaspace": decoders.Metaspace(),
    "CTC": decoders.CTC(pad_token="c"),
    "BPE": decoders.BPEDecoder("c"),
    "LLaMA": decoders.Sequence(LLAMA),
    "stripped": decoders.Sequence([decoders.Fuse(), decoders.Strip("c", 1, 0)]),
    # What a later token changes: how these decoders begin is not known before the end.
    "replaced": decoders.Sequence([decoders.Fuse(), decoders.Replace("abc", "x")]),
    "fused bytes": decoders.Sequence([decoders.Fuse(), decoders.ByteLevel()]),
}


@pytest.mark.parametrize("name", [*DECODERS, "ByteLevel"])
def test_pieces_of_random_ids_are_the_text(name: str, bytelevel: Tokenizer) -> None:
    tokeniser = bytelevel if name == "ByteLevel" else vocabulary(DECODERS[name])
    random = np.random.default_rng(1)
    size, early = tokeniser.get_vocab_size(), False
    for _ in range(300):
        few = random.integers(0, min(size, len(TOKENS)), 12)
        ids: Sequence[int] = np.where(random.random(12) < 0.5, few, random.integers(0, size, 12)).tolist()
        given = pieces(tokeniser, ids)
        assert "".join(given) == tokeniser.decode(ids)
        early = early or any(given[:-1])
    # Where a decoder changes what it has written, everything comes at the end.
    assert early != (name in ("replaced", "fused bytes"))


def test_bytes_that_a_later_one_makes_wrong_are_held_back() -> None:
    tokeniser = vocabulary(DECODERS["LLaMA"])
    a, unknown = TOKENS.index("▁a"), 0
    assert pieces(tokeniser, [a, *EURO, a]) == ["a", "", "", "", "€ a", ""]
    assert pieces(tokeniser, [a, *EURO, unknown, WRONG, a]) == [
        "a",
        "",
        "",
        "",
        "",
        "",
        "\ufffd\ufffd\ufffd\ufffd a",
        "",
    ]
    assert pieces(tokeniser, [a, *EURO]) == ["a", "", "", "", "€"]
