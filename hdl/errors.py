"""The error that a user can correct, and how it shows a value."""

import json
from reprlib import Repr
from typing import Any

__all__ = ["InputError", "shown"]

LENGTH = 80
"""About the most characters of a value in an error."""


class InputError(ValueError):
    """Bad input: one line with subject, requirement, value and remedy; the command line prints it and exits with 2."""


class _Short(Repr):
    """A `repr` that formats only the part that is shown, because a value may be as long, deep or large as its file."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist = 3, 4, 4
        self.maxstring = self.maxother = self.maxlong = LENGTH

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 4 * LENGTH:  # Python refuses to write a number of thousands of digits
            return f"a number of {x.bit_length():,} bits"
        return super().repr_int(x, level)


def shown(value: Any) -> str:
    """A value of a user's file, as errors show it: true, false and null as in the file, and cut if it is long."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = _Short().repr(value)
    return text if len(text) <= LENGTH + 2 else f"{text[:LENGTH]}..."
