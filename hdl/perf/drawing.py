"""Pictures as text."""

from io import StringIO

import matplotlib
from matplotlib.figure import Figure

from ..version import GENERATOR

__all__ = ["as_svg"]


def as_svg(figure: Figure, name: str) -> str:
    """A figure as SVG: without a date and with names made of ``name``, the same picture is the same text."""
    drawn = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Creator": GENERATOR, "Date": None})
    return drawn.getvalue()
