"""Text of tokens that come one by one: a piece is given out once no later token can change it.

The `tokenizers` package has a `DecodeStream`, which never gives out what is left at the end, and raises an exception
where bytes of a byte-fallback tokeniser are no characters, so it is not used.
"""

import json
import re
from collections.abc import Callable, Sequence
from itertools import dropwhile
from typing import Any

from tokenizers import Tokenizer

__all__ = ["TextStream", "settled_by"]

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What decoders write for the first bytes of a character as long as its last ones are missing."""

# The decoders of the `tokenizers` package by what they do to a list of tokens' texts.
_EACH = {"Replace", "Strip", "WordPiece", "Metaspace", "CTC", "ByteFallback"}  # change each by itself
_JOIN = {"Fuse", "ByteLevel", "BPEDecoder"}  # join them all

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class TextStream:
    """The text of ids, piece by piece; all pieces together are the text of all ids.

    Args:
        text: the text of ids, as in `Tokens`.
        settled: how many of the ids, from the first one, have a text that later ids leave as it is, except the
            bytes of an incomplete character; see `settled_by`.
    """

    def __init__(self, text: Callable[[Sequence[int]], str], settled: Callable[[Sequence[int]], int] = len):
        self._text, self._settled = text, settled
        self._ids: list[int] = []
        self._given = 0

    def push(self, ids: Sequence[int]) -> str:
        """Takes further ids; returns the further text that is final, which may be none."""
        self._ids += ids
        text = self._text(self._ids[: self._settled(self._ids)])
        return self._further(text.removesuffix(INCOMPLETE))

    def end(self) -> str:
        """The rest of the text, after the last id."""
        return self._further(self._text(self._ids))

    def _further(self, text: str) -> str:
        further = text[self._given :]
        self._given += len(further)
        return further


def settled_by(tokeniser: Tokenizer) -> Callable[[Sequence[int]], int]:
    """For the decoder of a tokeniser: how many of the ids have a text that is settled, as `TextStream` asks.

    None of them, before the end, where the decoder is not known to leave alone what it has written.
    """
    decoders = _decoders(json.loads(tokeniser.to_str())["decoder"])
    joined = list(dropwhile(lambda kind: kind in _EACH, decoders))
    if joined and (joined[0] not in _JOIN or set(joined[1:]) - {"Strip"}):
        return lambda ids: 0
    if "ByteFallback" not in decoders:
        return len
    special = {index for index, token in tokeniser.get_added_tokens_decoder().items() if token.special}

    def is_open(index: int) -> bool:
        """Whether the id is a byte, or nothing in the text, so that a byte after it changes the characters before."""
        token = tokeniser.id_to_token(index)
        return token is None or index in special or _BYTE.fullmatch(token) is not None

    def before_last_bytes(ids: Sequence[int]) -> int:
        return max((place + 1 for place, index in enumerate(ids) if not is_open(index)), default=0)

    return before_last_bytes


def _decoders(decoder: Any) -> list[str]:
    """The kinds of a decoder's steps, in their order."""
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [kind for one in decoder["decoders"] for kind in _decoders(one)]
    return [decoder["type"]]
