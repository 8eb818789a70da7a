"""The YAML files of the project, one for each model, device and published design; and suggestions for wrong names."""

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import yaml

from .errors import InputError

__all__ = ["built_in", "read_built_in", "suggestion"]


@cache
def built_in(package: str, folder: str) -> tuple[str, ...]:
    """The names of the YAML files in a package's folder."""
    files = (resources.files(package) / folder).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


def read_built_in(package: str, folder: str, name: str, kind: str) -> Any:
    """The contents of one of these files; ``kind`` is its name in errors.

    Raises:
        InputError: for an unknown name, with the known names.
    """
    known = built_in(package, folder)
    if name not in known:
        raise InputError(f"{kind} {name!r} is unknown{suggestion(name, known)}; known: {', '.join(known)}")
    return yaml.safe_load((resources.files(package) / folder / f"{name}.yaml").read_text())


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """', did you mean ...?' if a known name is close to the wrong one, else nothing."""
    close = difflib.get_close_matches(wrong, sorted(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
