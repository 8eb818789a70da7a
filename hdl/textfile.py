"""Reads text and JSON of the user; every fault of them becomes an error of one line."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from .errors import InputError

__all__ = ["parse_json", "read_text", "stand_in"]

STAND_INS = (
    (b"version https://git-lfs", "a Git LFS pointer", "run: git lfs pull"),
    (b"<!doctype html", "an HTML page", "download the file itself"),
    (b"<html", "an HTML page", "download the file itself"),
)
"""What is often found in place of a file: its first bytes, its kind, and the remedy."""


def stand_in(begin: bytes) -> str | None:
    """The kind of a file that only stands for the real one, and the remedy, by its first bytes; else None."""
    start = begin.lstrip().lower()
    return next((f"is {kind}; {remedy}" for sign, kind, remedy in STAND_INS if start.startswith(sign)), None)


def read_text(path: Path, what: str) -> str:
    """The text of a file in UTF-8, without a byte order mark. Errors begin with ``what`` the file is.

    Raises:
        InputError: for a file that cannot be read, is not UTF-8, or is a Git LFS pointer or an HTML page.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from None
    if found := stand_in(contents[:100]):
        raise InputError(f"{what} {path} {found}")
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents[: error.start].count(b"\n") + 1
        wrong = f"byte 0x{contents[error.start]:02x} in line {line}"
        raise InputError(f"{what} {path} must be text in UTF-8, but has {wrong}; convert it") from None


def parse_json(text: str, subject: str) -> Any:
    """The value of a JSON text; ``subject`` is named in errors.

    Raises:
        InputError: for text that is not JSON, NaN, a key that an object has twice, and nesting or numbers that Python
            does not read.
    """

    def finite(text: str) -> float:
        if not isfinite(number := float(text)):
            raise InputError(f"{subject} must be valid JSON with finite numbers, not {text[:20]}")
        return number

    def distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"{subject} must have the key {key!r} once, not twice")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=distinct, parse_float=finite, parse_constant=finite)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{subject} must be valid JSON, but is nested too deeply") from None
    except ValueError as error:  # numbers of too many digits, too
        reason = str(error).split(";")[0]
        raise InputError(f"{subject} must be valid JSON: {reason}") from None
