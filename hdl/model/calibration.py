"""The texts that the ranges of a quantised model are found on: those beside the weights, or the project's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..textfile import read_text
from .origin import CALIBRATION, Origin

__all__ = ["Calibration", "calibration_texts", "read_calibration"]


@dataclass(frozen=True)
class Calibration:
    """The ``texts``, and where they come from, in a few words."""

    texts: Sequence[str]
    source: str

    def __str__(self) -> str:
        return f"calibrated on {self.source}"


def calibration_texts() -> list[str]:
    """The texts for calibration, which were written for this project."""
    return Path(__file__).with_name(CALIBRATION).read_text().splitlines()


def read_calibration(origin: Origin) -> Calibration:
    """The texts beside a model's weights, one on each line; without them the project's own.

    Raises:
        InputError: for a file that cannot be read, is not UTF-8, or has no text.
    """
    path = origin.find(CALIBRATION)
    if path is None:
        return Calibration(calibration_texts(), "the project's own English texts")
    texts = [line for line in read_text(path, "calibration text").splitlines() if line.strip()]
    if not texts:
        raise InputError(
            f"calibration text {path} must have at least 1 line of text, but has none; add some or remove it"
        )
    return Calibration(texts, f"{len(texts)} texts of {path}")
