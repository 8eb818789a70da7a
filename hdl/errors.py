"""The error a user can mend, and how it shows a value."""

import json
from reprlib import Repr
from typing import Any

__all__ = ["InputError", "shown"]

LENGTH = 80
"""Characters of a value in an error, about."""


class InputError(ValueError):
    """Bad input: one line with subject, requirement, value and remedy; the command line prints it and exits with 2."""


class _Short(Repr):
    """A value's `repr` that formats no more of it than is shown, as it may be as long, deep or large as its file."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist = 3, 4, 4
        self.maxstring = self.maxother = self.maxlong = LENGTH

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 4 * LENGTH:  # Python refuses to write a number of thousands of digits
            return f"a number of {x.bit_length():,} bits"
        return super().repr_int(x, level)


def shown(value: Any) -> str:
    """A value out of a user's file, for an error: true, false and null as files have them, and never long."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = _Short().repr(value)
    return text if len(text) <= LENGTH + 2 else f"{text[:LENGTH]}..."
