"""The templates of scripts, constraints and other texts.

They are in the folder ``constraints`` beside the packages, in a checkout as in an installation.
"""

from pathlib import Path
from string import Template

__all__ = ["TEMPLATES", "fill"]

TEMPLATES = Path(__file__).parents[3] / "constraints"


class PlaceTemplate(Template):
    """A template whose places are ``@{name}``, which mean nothing in Tcl. ``@@`` is an at sign."""

    delimiter = "@"


def fill(name: str, **values: str) -> str:
    """A template with its places filled.

    Raises:
        KeyError: for a place without a value.
    """
    return PlaceTemplate((TEMPLATES / name).read_text()).substitute(values)
