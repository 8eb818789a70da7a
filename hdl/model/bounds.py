"""The whole numbers of a model's shape, and how large they may be: with larger ones, commands would not end."""

from typing import Any

from ..errors import InputError, shown

__all__ = ["MOST", "check_whole"]

MOST = {
    "layers": (256, "the deepest published models have about 130"),
    "hidden": (1 << 16, "the largest published models have about 20,000"),
    "heads": (1 << 10, "the largest published models have about 130"),
    "kv_heads": (1 << 10, "the largest published models have about 130"),
    "head_size": (1 << 12, "published models have 32 to 512"),
    "intermediate": (1 << 18, "the largest published models have about 80,000"),
    "max_positions": (1 << 24, "the longest published texts have 10,000,000 tokens"),
    "vocabulary": (1 << 20, "the largest published vocabularies have about 900,000 words"),
    "token_types": (1 << 10, "BERT has 2"),
    "channels": (1 << 10, "images have 1 to 4, satellites' some hundred"),
    "image_size": (1 << 14, "published models have 224 to 1,024 pixels"),
    "patch_size": (1 << 14, "published models have 8 to 32 pixels"),
}
"""The most of each number of a shape, above all published models; and the reason, in words.

The time and memory of commands grow with these numbers: layers are planned one by one, tables are filled row by row.
"""


def check_whole(model: str, field: str, value: Any) -> None:
    """Refuses a number of a shape that is no whole number, or not from 1 to the most.

    Raises:
        InputError: with the field, and what it must be.
    """
    if type(value) is not int or value < 1:
        raise InputError(f"{field} of model {model!r} must be a whole number of at least 1, not {shown(value)}")
    most, reason = MOST[field]
    if value > most:
        raise InputError(f"{field} of model {model!r} must be at most {most:,}, not {shown(value)}: {reason}")
