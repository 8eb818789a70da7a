"""Whether a float model is one that integers can stand for: its values are finite, its outputs depend on the text."""

from collections.abc import Sequence

import numpy as np

from ..errors import InputError

__all__ = ["Outputs", "check_finite", "check_words"]

LEVELS = (1 << 15) - 1
"""Of the int16 values that stand for the outputs."""

REMEDY = "are these the weights of a trained model?"


def check_finite(values: np.ndarray, what: str) -> None:
    """Refuses values beyond float32.

    Raises:
        InputError: for infinity and NaN.
    """
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise InputError(f"{what} in float32 must be finite on the calibration texts, but is {wrong}; {REMEDY}")


def check_words(word: np.ndarray, source: str) -> None:
    """Refuses an embedding table [vocabulary, hidden] that makes the same of all words. ``source``: of the weights.

    Raises:
        InputError: for a table whose rows are all the same.
    """
    if len(word) > 1 and (word == word[0]).all():
        raise InputError(f"{source}: the word embeddings of tokens must differ, but all are the same; {REMEDY}")


class Outputs:
    """The range of each of a model's outputs over all tokens of the calibration texts."""

    def __init__(self) -> None:
        self.tokens: set[int] = set()
        self.low, self.high, self.largest = np.float32(np.inf), np.float32(-np.inf), 0.0

    def widen(self, inputs: Sequence[int] | np.ndarray, outputs: np.ndarray, centre: bool = False) -> None:
        """Takes the outputs [tokens, features] of a text, by its ids, or of an image. ``centre``: only their
        differences in a token count, as of logits."""
        self.tokens.update([hash(inputs.tobytes())] if isinstance(inputs, np.ndarray) else inputs)
        self.largest = max(self.largest, float(np.abs(outputs).max()))
        own = outputs - outputs.mean(axis=1, keepdims=True) if centre else outputs
        self.low, self.high = np.minimum(self.low, own.min(axis=0)), np.maximum(self.high, own.max(axis=0))

    def check(self, source: str) -> None:
        """Refuses outputs that differ by less than what integers can show, over different tokens. ``source``: of the
        weights.

        Raises:
            InputError: for weights that are all 0, all the same, or otherwise make the same of every text.
        """
        if len(self.tokens) > 1 and float((self.high - self.low).max()) <= self.largest / LEVELS:
            raise InputError(
                f"{source}: the outputs must depend on the text, but are the same for all {len(self.tokens)} different "
                f"tokens of the calibration texts; {REMEDY}"
            )
