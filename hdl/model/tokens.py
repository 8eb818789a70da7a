"""Text to token ids: the tokeniser beside a model's weights, or for random weights what suits the vocabulary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError
from ..textfile import read_text
from .chat import ChatTemplate, Message
from .gguf import GGUF, open_gguf
from .gguftokens import gguf_chat, gguf_tokeniser
from .network import Network
from .origin import TOKENISER, Origin, installed_checkpoint
from .textstream import TextStream, settled_by

__all__ = ["Tokens", "load_tokens", "tokens_of_text"]

BERT_UNCASED = ("minilm-l6", 30522)
"""The preset whose tokeniser is BERT's uncased WordPiece, and that vocabulary's size."""

OLDER_FILES = ("vocab.txt", "merges.txt")
"""What a model may have instead of a tokeniser's file, which the package transformers can make of it."""

START, END = 256, 257
"""The tokens around a text in the vocabulary of encoders for tests, whose first 256 are the bytes."""


@dataclass(frozen=True)
class Tokens:
    """A tokeniser: ``ids`` of a text, special tokens included; the ``text`` of ids, without them; and what it is, in a
    few words."""

    ids: Callable[[str], list[int]]
    text: Callable[[Sequence[int]], str]
    source: str
    settled: Callable[[Sequence[int]], int] = len
    """How many of the ids have a text that later ids do not change; see `TextStream`."""
    chat: Callable[[Sequence[Message]], list[int]] | None = None
    """The ids of a conversation, up to where the assistant speaks next; None where the model has no template."""

    def stream(self) -> TextStream:
        """Text of ids that come one by one."""
        return TextStream(self.text, self.settled)

    def of(self, text: str, most: int) -> list[int]:
        """The ids of a text of 1 to ``most`` tokens.

        Raises:
            InputError: for an empty text, one that is too long, and one that is no Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"text {text!r} must be in UTF-8") from None
        if not text.strip():
            raise InputError("text must have at least one word, not be empty")
        ids = self.ids(text)
        if len(ids) > most:
            shown = text if len(text) <= 40 else f"{text[:37]}..."
            raise InputError(
                f"text {shown!r} must have at most {most} tokens, not {len(ids)}; shorten it or raise --max-length"
            )
        return ids


def load_tokens(network: Network, origin: Origin) -> Tokens:
    """The tokeniser in the folders of a model's ``origin``. For random weights that have none, it is guessed from the
    vocabulary's size: BERT's, or bytes.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    if network.image_size:
        raise InputError(
            f"model {network.name!r} must take texts here, but takes images; from Python, hdl.model.quantise "
            "and sim.accelerator run it"
        )
    if (path := origin.find(TOKENISER)) is not None:
        return from_file(path)
    if origin.weights is not None and origin.weights.suffix == GGUF:
        metadata, source = open_gguf(origin.weights).metadata, str(origin.weights)
        return of_tokeniser(gguf_tokeniser(metadata, source), f"tokeniser in {source}", gguf_chat(metadata, source))
    if origin.weights is not None:
        raise InputError(
            f"folder {origin.folders[0]} must have the tokeniser of its weights, {TOKENISER}, but has none; "
            f"{_tokeniser_remedy(origin)}"
        )
    guessed = f"guessed from the vocabulary of {network.vocabulary:,} entries"
    if not network.causal and network.vocabulary == BERT_UNCASED[1]:
        installed = installed_checkpoint(BERT_UNCASED[0])
        assert installed is not None
        return replace(from_file(installed / TOKENISER), source=f"tokeniser of {BERT_UNCASED[0]}, {guessed}")
    source = f"bytes as tokens, {guessed}"
    if network.causal and network.vocabulary >= START:
        return Tokens(lambda text: list(text.encode()), _bytes_text, source)
    if network.vocabulary > END:
        return Tokens(lambda text: [START, *text.encode(), END], _bytes_text, source)
    raise InputError(
        f"model {network.name!r} has no tokeniser, and none is known for its vocabulary of {network.vocabulary}; "
        f"put its {TOKENISER} beside its config.json, or name a --checkpoint folder with one"
    )


def from_file(path: Path) -> Tokens:
    """A tokeniser in the format of the `tokenizers` package, without its padding and truncation.

    Raises:
        InputError: for a file that cannot be read, and one of another format.
    """
    return tokens_of_text(read_text(path, "tokeniser"), str(path))


def tokens_of_text(text: str, source: str) -> Tokens:
    """As `from_file`, of the file's text, which has come from ``source``."""
    try:
        tokeniser = Tokenizer.from_str(text)
    except Exception as error:  # the package raises plain Exception
        raise InputError(f"tokeniser {source} must be in the format of the package tokenizers: {error}") from error
    tokeniser.no_padding()
    tokeniser.no_truncation()
    return of_tokeniser(tokeniser, f"tokeniser {source}")


def of_tokeniser(tokeniser: Tokenizer, source: str, chat: ChatTemplate | None = None) -> Tokens:
    """A tokeniser of the package; ``source``: see `Tokens`. ``chat``: the model's template, if it has one."""

    def conversation(messages: Sequence[Message]) -> list[int]:
        # A template writes special tokens itself.
        return list(tokeniser.encode(chat.text(messages), add_special_tokens=False).ids) if chat else []

    return Tokens(
        lambda text: list(tokeniser.encode(text).ids),
        lambda ids: str(tokeniser.decode(list(ids))),
        source,
        settled_by(tokeniser),
        conversation if chat else None,
    )


def _tokeniser_remedy(origin: Origin) -> str:
    """How a model without a tokeniser file gets one."""
    for name in OLDER_FILES:
        if (path := origin.find(name)) is not None:
            place = repr(str(path.parent))
            code = f"from transformers import AutoTokenizer as T; T.from_pretrained({place}).save_pretrained({place})"
            return f'make it of {name} with: python -c "{code}"'
    return "copy it from where the weights come from"


def _bytes_text(ids: Sequence[int]) -> str:
    return bytes(i for i in ids if i < START).decode(errors="replace")
