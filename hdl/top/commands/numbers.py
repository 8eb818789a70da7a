"""Numbers of the command line: refused as it is read, before anything is computed."""

from typing import Any

import click

from ...bounds import Bounds
from ...errors import shown

__all__ = ["Decimal", "Whole"]


LARGEST = 10**15
"""No number of a model or a run is larger, so that none needs more digits in an error."""


class Number(click.ParamType[float]):
    """A number within ``bounds``, or any, where they depend on the model."""

    kind: type[float]
    called: str

    def __init__(self, bounds: Bounds | None = None):
        self.bounds = bounds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            click.BadParameter: for what is none.
            InputError: for one outside of the bounds.
        """
        try:
            number = self.kind(value)
        except (ValueError, OverflowError):
            self.fail(f"{shown(value)} is not {self.called}", param, ctx)
        if self.bounds is not None:
            self.bounds.check(number)
        elif isinstance(number, int) and abs(number) > LARGEST:
            self.fail(f"{shown(value)} has too many digits", param, ctx)
        return number


class Whole(Number):
    """A whole number."""

    name = "integer"
    kind = int
    called = "a whole number"


class Decimal(Number):
    """A number that may have a fraction."""

    name = "number"
    kind = float
    called = "a number"
