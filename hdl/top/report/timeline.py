"""A picture of time: spans in which units are busy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Span", "Timeline", "layer_timeline", "timeline"]


class Span(NamedTuple):
    """Busy from ``start`` to ``end``, in cycles; of that time, where a unit is many or waits now and then, so large a
    ``share``. ``turn``: what it works on, a layer or where tiles are told apart a tile, counted from 0;
    ``tile``: the tile of the layer, where it works on one."""

    start: float
    end: float
    turn: int
    share: float = 1.0
    tile: int | None = None

    @property
    def work(self) -> float:
        """Cycles of work."""
        return (self.end - self.start) * self.share


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A picture of time from cycle ``start`` to ``end``: the spans of each unit that is drawn, and for the table the
    cycles that each unit is ``busy`` in that time; ``exact``, or a model of stages."""

    title: str
    note: str
    start: float
    end: float
    rows: Mapping[str, tuple[Span, ...]]
    busy: Mapping[str, float]
    exact: bool


def timeline(
    title: str,
    note: str,
    start: float,
    end: float,
    spans: Mapping[str, Iterable[Span]],
    drawn: Iterable[str],
    *,
    exact: bool = True,
) -> Timeline:
    """The picture of what lies in that time of the units' spans, with rows for those that are ``drawn`` and busy."""
    seen = {name: _within(every, start, end) for name, every in spans.items()}
    busy = {name: sum(span.work for span in every) for name, every in seen.items()}
    rows = {name: seen[name] for name in drawn if seen[name]}
    return Timeline(title=title, note=note, start=start, end=end, rows=rows, busy=busy, exact=exact)


def layer_timeline(
    title: str, note: str, layer: int, spans: Mapping[str, Iterable[Span]], units: Iterable[str], drawn: Iterable[str]
) -> Timeline:
    """The picture of the time in which ``units`` work on a layer."""
    own = [span for name in units for span in spans[name] if span.turn == layer]
    return timeline(title, note, min(one.start for one in own), max(one.end for one in own), spans, drawn)


def _within(spans: Iterable[Span], start: float, end: float) -> tuple[Span, ...]:
    """The parts of spans that lie in a window."""
    seen = (one for one in spans if one.start < end and one.end > start)
    return tuple(
        one if start <= one.start and one.end <= end else Span(max(one.start, start), min(one.end, end), *one[2:])
        for one in seen
    )
