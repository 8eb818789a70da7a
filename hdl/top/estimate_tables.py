"""What `estimate` shows: one model on one device, as tables."""

from rich.table import Table

from ..perf.designs.constraints import BANDWIDTH, Constraint
from ..perf.designs.cost import cycles_of
from ..perf.designs.phase import Phase
from ..perf.estimate import Estimate, Timing
from .describe import new_table

__all__ = ["assumptions", "bounds", "constraints_table", "figures_table", "stages_table", "workload"]

WHOLE = 1000
"""Numbers from here on are shown without decimals."""

MILLI, MICRO, MEGA = 1e3, 1e6, 1e6

CLOSE = 0.02
"""Share of a time by which the units may be faster and still set it."""


def figures_table(found: Estimate) -> Table:
    """Time to the first token, time per token, throughput and energy, each beside its limit."""
    work = workload(found.prompt, found.output, found.sequences)
    table = new_table(
        f"{found.network.name} on {found.device.board}: {work}; {found.design.kind} design",
        "name", "figure", "limit", "bound by", "limit reached",
    )  # fmt: skip
    kind = "time to the first token" if found.network.causal else "time of the whole text"
    table.add_row(kind, *_timing(found.first_token))
    if found.token is not None:
        table.add_row("time of a token of each sequence", *_timing(found.token))
    per_token = found.token or found.first_token
    count = found.sequences if found.token else found.prompt
    table.add_row(
        "tokens per second", f"{found.tokens_a_second:,.1f}", f"{count / per_token.limit:,.1f}", per_token.bound,
        f"{per_token.ratio:.0%}",
    )  # fmt: skip
    energy = found.watts * per_token.limit / count
    table.add_row(
        "energy per token", f"{found.joules_a_token * MILLI:,.2f} mJ", f"{energy * MILLI:,.2f} mJ", per_token.bound,
        f"{energy / found.joules_a_token:.0%}",
    )  # fmt: skip
    return table


def workload(prompt: int, output: int, sequences: int) -> str:
    """The work in a few words."""
    tokens = f"{prompt} tokens" + (f" and {output} more" if output else "")
    return tokens + (f", {sequences} sequences at once" if sequences > 1 else "")


def _timing(timing: Timing) -> tuple[str, ...]:
    return _time(timing.seconds), _time(timing.limit), timing.bound, f"{timing.ratio:.0%}"


def _time(seconds: float) -> str:
    return f"{seconds * MILLI:,.3f} ms" if seconds >= 1 / MILLI else f"{seconds * MICRO:,.1f} us"


def stages_table(found: Estimate) -> Table:
    """Cycles of one layer in each unit, for the prompt and for a token; waits for memory are not in them."""
    table = new_table("cycles per layer and stage, without waits for memory", "name", "prompt", "token")
    token = found.decode.stages if found.decode else {}
    for name in dict.fromkeys((*found.prefill.stages, *token)):
        cells = (f"{stages[name]:,}" if name in stages else "" for stages in (found.prefill.stages, token))
        table.add_row(name, *cells)
    return table


def constraints_table(constraints: tuple[Constraint, ...]) -> Table:
    """What the design needs, and what is available for it."""
    table = new_table("constraints", "name", "needed", "available", "used")
    for one in constraints:
        figures = (f"{figure(number)} {one.unit}" for number in (one.needed, one.available))
        table.add_row(one.name, *figures, f"{one.used:.0%}")
    return table


def figure(number: float) -> str:
    """A number of a constraint: whole from 1,000 on, else to four digits."""
    return f"{number:,.0f}" if number >= WHOLE else f"{number:,.4g}"


def bounds(found: Estimate) -> list[str]:
    """Why compute or memory is the limit of the prompt and of a token, and what sets their times."""
    lines = [_bound("The prompt" if found.network.causal else "The text", found, found.prefill, found.first_token)]
    if found.decode is not None and found.token is not None:
        one = "one token of each sequence" if found.sequences > 1 else "one token"
        share = found.token.memory_limit / found.token.seconds
        used = next(limit.used for limit in found.constraints if limit.name == BANDWIDTH)
        lines.append(
            f"{_bound('A token of each sequence', found, found.decode, found.token)} It reads each weight for {one}, "
            f"and uses {share:.0%} of the peak bandwidth. The tokens of a prompt share each weight, so the constraint "
            f"{BANDWIDTH} is at {used:.0%}."
        )
    return lines


def _bound(name: str, found: Estimate, phase: Phase, timing: Timing) -> str:
    units = phase.cycles / (found.clock_mhz * 1e6)
    reading = cycles_of(phase, found.design, found.device)
    waits = "they set its time" if phase.cycles >= reading * (1 - CLOSE) else "they wait for memory"
    return (
        f"{name} needs {figure(phase.macs / MEGA)} M multiplications, at least {_time(timing.compute_limit)} in the "
        f"design's DSPs, and {figure(phase.bytes / MEGA)} MB from memory, at least {_time(timing.memory_limit)} at "
        f"{found.device.memory.bandwidth_gb_s:g} GB/s: the limit is {timing.bound}. The units take {_time(units)} "
        f"without waits for memory; {waits}."
    )


def _output(found: Estimate) -> str:
    if not found.later_seconds:
        return ""
    return (
        f"All tokens after the first take {_time(found.later_seconds)}, within {found.later_error:.1%}, since only "
        "some of them are looked at. "
    )


def assumptions(found: Estimate) -> str:
    """What the figures rest on."""
    return (
        f"The cycles are {found.accuracy}. {_output(found)}Assumed: a clock of {found.clock_mhz:g} MHz and "
        f"{found.watts:g} W ({found.watts_source}). Weights have {found.workload.weight_bits}. The limit of compute "
        "counts two products per cycle in each DSP of the design; the limit of memory counts the peak bandwidth. The "
        "longer of both times is the limit."
    )
