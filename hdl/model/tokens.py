"""Text to token ids: the tokeniser of a checkpoint, or for models without one what suits their vocabulary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError
from .checkpoint import installed_checkpoint
from .spec import BertSpec, ModelSpec

__all__ = ["Tokens", "calibration_texts", "load_tokens"]

BERT_UNCASED = ("minilm-l6", 30522)
"""The preset whose tokeniser is BERT's uncased WordPiece, and that vocabulary's size."""

START, END = 256, 257
"""The tokens around a text in the vocabulary of encoders for tests, whose first 256 are the bytes."""


@dataclass(frozen=True)
class Tokens:
    """A tokeniser: ``ids`` of a text, special tokens included; the ``text`` of ids, without them; and what it is, in a
    few words."""

    ids: Callable[[str], list[int]]
    text: Callable[[Sequence[int]], str]
    source: str

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


def load_tokens(spec: ModelSpec, folder: Path | None = None) -> Tokens:
    """The tokeniser in a checkpoint's ``folder``, of the preset, or by the vocabulary's size.

    Raises:
        InputError: where none is to be had.
    """
    folder = folder or installed_checkpoint(spec.name)
    if folder is not None:
        return from_file(folder / "tokenizer.json")
    if isinstance(spec, BertSpec) and spec.vocabulary == BERT_UNCASED[1]:
        installed = installed_checkpoint(BERT_UNCASED[0])
        assert installed is not None
        return from_file(installed / "tokenizer.json")
    if not isinstance(spec, BertSpec) and spec.vocabulary >= START:
        return Tokens(lambda text: list(text.encode()), _bytes_text, "bytes")
    if spec.vocabulary > END:
        return Tokens(lambda text: [START, *text.encode(), END], _bytes_text, "bytes")
    raise InputError(
        f"model {spec.name!r} has no tokeniser for its vocabulary of {spec.vocabulary}; "
        "name a --checkpoint folder with one"
    )


def from_file(path: Path) -> Tokens:
    """A tokeniser in the format of the `tokenizers` package, without its padding and truncation."""
    if not path.is_file():
        raise InputError(f"tokeniser {path} must be a file, as it lies beside a Hugging Face checkpoint; none is there")
    try:
        tokeniser = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exception
        raise InputError(f"tokeniser {path} cannot be read: {error}") from error
    tokeniser.no_padding()
    tokeniser.no_truncation()
    return Tokens(
        lambda text: list(tokeniser.encode(text).ids), lambda ids: str(tokeniser.decode(list(ids))), path.name
    )


def _bytes_text(ids: Sequence[int]) -> str:
    return bytes(i for i in ids if i < START).decode(errors="replace")


def calibration_texts() -> list[str]:
    """The texts for calibration, which were written for this project."""
    return Path(__file__).with_name("calibration.txt").read_text().splitlines()
