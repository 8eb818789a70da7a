"""Paths of the command line."""

from os import PathLike
from pathlib import Path
from typing import Any

import click

__all__ = ["NamedPath"]


class NamedPath(click.Path):
    """A path that is not empty: Python takes an empty one, which a shell makes of an unset variable, for the folder
    that the command runs in."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            click.BadParameter: for an empty one.
        """
        if not str(value):
            self.fail("a path must not be empty", param, ctx)
        return super().convert(value, param, ctx)
