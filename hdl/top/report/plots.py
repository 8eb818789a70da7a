"""Points and lines on logarithmic axes, in the coordinates of a picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from .text import short

__all__ = ["Axis", "Dot", "Label", "Line", "Plot", "axis_of"]

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 408, 14, 256
"""A picture's size, and the edges of what is plotted: small enough for a phone to show it whole."""

ROOM = 0.06
"""Share of an axis that is left free at both of its ends."""


@dataclass(frozen=True)
class Dot:
    """A point by its values, of a kind that the style sheet knows; ``title`` is told of it."""

    x: float
    y: float
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points by their values."""

    points: Sequence[tuple[float, float]]
    kind: str


@dataclass(frozen=True)
class Label:
    """Words at a point by its values, moved by ``dx`` and ``dy``; ``anchor`` as in SVG."""

    x: float
    y: float
    text: str
    dx: float = 0
    dy: float = 0
    anchor: str = "start"


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: the values at its ends, where these lie in the picture, and its name."""

    low: float
    high: float
    at_low: float
    at_high: float
    name: str

    def at(self, value: float) -> float:
        """Where a value lies, to a tenth; outside values at the end."""
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return round(self.at_low + min(max(share, 0), 1) * (self.at_high - self.at_low), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round values: powers of ten, with twos and fives where there are few, and fewer where there are many."""
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**decade for decade in decades for step in steps]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) <= 6:
                break
        return [(self.at(value), short(value)) for value in inside]


def axis_of(values: Iterable[float], name: str, *, upright: bool) -> Axis:
    """The axis that holds all values, with `ROOM` beside them."""
    found = list(values)
    low, high = min(found), max(found)
    spread = max((high / low) ** ROOM, 1.1)
    ends = (BOTTOM, TOP) if upright else (LEFT, RIGHT)
    return Axis(low / spread, high * spread, *ends, name)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture: what it is called and tells, its axes, and what lies on it, the last on top."""

    title: str
    description: str
    x: Axis
    y: Axis
    dots: Sequence[Dot] = ()
    lines: Sequence[Line] = ()
    labels: Sequence[Label] = ()

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, RIGHT, TOP, BOTTOM

    def path(self, line: Line) -> str:
        """A line as the data of a path."""
        return "M" + "L".join(f"{self.x.at(x):g} {self.y.at(y):g}" for x, y in line.points)
