"""The page: what was gathered, as the text of one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...perf.designs.budget import LABELS, PLANNED
from ...perf.designs.constraints import CROSSING_SHARE, SLR_SHARE, Constraint
from ...perf.device import Device
from ...perf.estimate import Estimate, Timing
from ...perf.schedule.encoder_schedule import counted_cycles
from ...resources import Resources
from ..emitted import design_lines
from ..estimate_tables import bounds, workload
from .changes import MORE, Change
from .pictures import front_plots, roofline, roofline_points, strips, time_ticks
from .report_data import Report
from .text import duration, gain, number, percent

__all__ = ["page"]

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Figure:
    """A headline: its name, figure and limit in words, what bounds it and the share of the limit that is reached."""

    name: str
    value: str
    limit: str
    bound: str
    ratio: float


def page(report: Report) -> str:
    """The page of a report: the same text for the same report."""
    environment = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": number, "duration": duration, "percent": percent, "gain": gain}
    found = report.found
    return environment.get_template(TEMPLATE).render(
        report=report, found=found, figures=headlines(found), bounds=bounds(found), quantity=quantity,
        lines=design_lines(found, report.model),
        times=[(one, strips(one), time_ticks(one, found.clock_mhz)) for one in report.timelines],
        work=workload(found.prompt, found.output, found.sequences),
        sources=sources(found.device), parts=parts(found), phases=stages(found),
        roofline=roofline(found), points=roofline_points(found), regions=regions(report),
        resources=[(LABELS[name], name) for name in PLANNED],
        constraints=sorted(found.constraints, key=lambda one: -one.used), slack=slack, planned=PLANNED,
        shares={
            "SLR": SLR_SHARE, "crossing": CROSSING_SHARE, "stream": found.device.memory.sustained, "more": MORE - 1
        },
        advice=advice(report.changes), reach=max([0.01, *(abs(one.latency_gain) for one in report.changes)]),
        plots=front_plots(found, report.front) if report.front else [],
    )  # fmt: skip


def sources(device: Device) -> dict[str, str]:
    """Where the figures of each field come from, those of its members together."""
    found: dict[str, list[str]] = {}
    for name, source in device.sources.items():
        found.setdefault(name.partition(".")[0], []).append(source)
    return {name: "; ".join(every) for name, every in found.items()}


def headlines(found: Estimate) -> list[Figure]:
    """Latency, throughput and energy, each beside what the device allows."""
    shown = [
        _latency("time to the first token" if found.network.causal else "time of the whole text", found.first_token)
    ]
    if found.token is not None:
        shown.append(_latency("time of a token of each sequence", found.token))
    timing, count = found.token or found.first_token, found.sequences if found.token else found.prompt
    energy = found.watts * timing.limit / count
    return [
        *shown,
        Figure("tokens per second", number(found.tokens_a_second), number(count / timing.limit), timing.bound,
               timing.ratio),
        Figure("energy per token", f"{number(1e3 * found.joules_a_token)} mJ", f"{number(1e3 * energy)} mJ",
               timing.bound, timing.ratio),
    ]  # fmt: skip


def _latency(name: str, timing: Timing) -> Figure:
    return Figure(name, duration(timing.seconds), duration(timing.limit), timing.bound, timing.ratio)


@dataclass(frozen=True)
class WorkPart:
    """``count`` like parts of all the work, which take ``seconds`` each."""

    name: str
    count: int
    seconds: float


def parts(found: Estimate) -> list[WorkPart]:
    """What all the work is made of: prompts and tokens; an encoder's first layer, and the others on average."""
    if found.token is not None:
        prompt = WorkPart("prompt", found.sequences, found.first_token.seconds)
        tokens = WorkPart("token of each sequence", found.output - 1, found.later_seconds / max(1, found.output - 1))
        return [prompt, tokens] if tokens.count else [prompt]
    layers = found.network.layers
    if found.network.causal or layers == 1:
        return [WorkPart("prompt", found.sequences, found.first_token.seconds)]
    first = counted_cycles(found.design.spec, found.prompt, 1) / (found.clock_mhz * 1e6)
    others = (found.first_token.seconds - first) / (layers - 1)
    return [
        WorkPart("first layer", found.sequences, first),
        WorkPart("further layer", found.sequences * (layers - 1), others),
    ]


@dataclass(frozen=True)
class StageRow:
    """A stage of a layer: its cycles and seconds, and their share of the slowest."""

    name: str
    cycles: int
    seconds: float
    share: float


def stages(found: Estimate) -> list[tuple[str, str, list[StageRow]]]:
    """For the prompt and the token: a title, how its stages go together, and the stages."""
    together = "The units work at the same time, on different tiles. The slowest unit sets the pace."
    behind = "The stages follow one another. Their sum is the time of a layer."
    title = "prompt" if found.network.causal else "text"
    shown = [(title, together if found.design.kind == "spatial" else behind, found.prefill)]
    if found.decode is not None:
        shown.append(("token", behind, found.decode))
    clock = found.clock_mhz * 1e6
    return [
        (
            f"A layer of the {name}",
            note,
            [StageRow(n, c, c / clock, c / max(phase.stages.values())) for n, c in phase.stages.items()],
        )
        for name, note, phase in shown
    ]


@dataclass(frozen=True)
class RegionRow:
    """An SLR: what lies in it, by unit and in all, what it has, and the lines to the SLR above, None for the top."""

    name: str
    units: dict[str, Resources]
    total: Resources
    available: Resources
    crossing: int | None

    def share(self, resource: str) -> float | None:
        """Share of a resource that is used; None where there is none of it."""
        have = getattr(self.available, resource)
        return getattr(self.total, resource) / have if have else None


def regions(report: Report) -> list[RegionRow]:
    """The SLRs, the lowest first."""
    crossings: Sequence[int | None] = (*report.plan.crossings, None)
    slrs = report.found.device.slrs
    return [
        RegionRow(
            f"SLR{place}" if len(slrs) > 1 else "device",
            {name: used for name, used in units.items() if any(used)},
            sum(units.values(), Resources()),
            slr.resources,
            crossing,
        )
        for place, (units, slr, crossing) in enumerate(zip(report.plan.regions, slrs, crossings, strict=True))
    ]


def slack(one: Constraint) -> str:
    """What a constraint leaves unused, in its unit."""
    return quantity(one.available - one.needed, one.unit)


def quantity(value: float, unit: str) -> str:
    """A number with its unit."""
    return f"{number(value)} {unit}"


def advice(changes: Sequence[Change]) -> str:
    """The changes with the largest gains, in a sentence."""
    usable = [one for one in changes if one.found is not None]
    first = max(usable, key=lambda one: one.latency_gain, default=None)
    most = max(usable, key=lambda one: one.throughput_gain, default=None)
    if first is None or most is None or max(first.latency_gain, most.throughput_gain) < 0.0005:
        return "None of these changes makes the work faster."
    told = []
    if first.latency_gain >= 0.0005:
        told.append(f"largest gain in time: {first.name}, {gain(first.latency_gain)}")
    if most is not first and most.throughput_gain > first.throughput_gain:
        told.append(f"largest gain in tokens per second: {most.name}, {gain(most.throughput_gain)}")
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}."
