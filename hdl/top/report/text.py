"""Figures as a page writes them."""

from math import floor, log10

__all__ = ["duration", "gain", "number", "percent", "rounded", "short"]

DIGITS = 4

MINUS, THIN_SPACE = "\u2212", "\u202f"

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def number(value: float) -> str:
    """A count or a measure, to four digits below the point and in full above it: 12,345 and 0.1235 and 1.5."""
    if value == 0:
        return "0"
    places = max(0, DIGITS - 1 - floor(log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(value: float) -> str:
    """A round count in little room: 50,000, but 200k and 5M."""
    for least, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if value >= least:
            return number(value / size) + unit
    return number(value)


def duration(seconds: float) -> str:
    """A time in the unit in which it is at least 1: 3.520 ms."""
    size, unit = _unit(seconds)
    return f"{seconds / size:,.3f} {unit}"


def rounded(seconds: float) -> str:
    """A round time, without the noughts behind it: 200 µs, or 0."""
    size, unit = _unit(seconds)
    return f"{number(seconds / size)} {unit}" if seconds else "0"


def _unit(seconds: float) -> tuple[float, str]:
    return next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])


def percent(share: float) -> str:
    """A share: 74.1 %, the space a thin one that does not break."""
    return f"{100 * share:.1f}{THIN_SPACE}%"


def gain(share: float) -> str:
    """A gain with its sign; what is below a twentieth of a percent is none."""
    if abs(share) < 0.0005:
        return "none"
    sign = "+" if share > 0 else MINUS
    return f"{sign}{percent(abs(share))}"
