"""What `estimate` shows: one model on one device, as tables."""

from rich.table import Table

from ..perf.constraints import Constraint
from ..perf.estimate import Estimate, Timing
from .describe import new_table

__all__ = ["assumptions", "constraints_table", "figures_table", "stages_table", "workload"]

MILLI, MICRO = 1e3, 1e6


def figures_table(found: Estimate) -> Table:
    """Time to the first token, time a token, throughput and energy, each beside its limit."""
    work = workload(found.prompt, found.output, found.sequences)
    table = new_table(
        f"{found.network.name} on {found.device.board}: {work}; {found.design.kind} design",
        "name", "figure", "limit", "bound by", "ratio",
    )  # fmt: skip
    kind = "first token" if found.network.causal else "the whole text"
    table.add_row(f"latency of {kind}", *_timing(found.first_token))
    if found.token is not None:
        table.add_row("a token of each sequence", *_timing(found.token))
    per_token = found.token or found.first_token
    count = found.sequences if found.token else found.prompt
    table.add_row(
        "tokens a second", f"{found.tokens_a_second:,.1f}", f"{count / per_token.limit:,.1f}", per_token.bound,
        f"{per_token.ratio:.0%}",
    )  # fmt: skip
    energy = found.watts * per_token.limit / count
    table.add_row(
        "energy a token", f"{found.joules_a_token * MILLI:,.2f} mJ", f"{energy * MILLI:,.2f} mJ", per_token.bound,
        f"{energy / found.joules_a_token:.0%}",
    )  # fmt: skip
    return table


def workload(prompt: int, output: int, sequences: int) -> str:
    """What is run, in a few words."""
    tokens = f"{prompt} tokens" + (f" and {output} more" if output else "")
    return tokens + (f", {sequences} in flight" if sequences > 1 else "")


def _timing(timing: Timing) -> tuple[str, ...]:
    return _time(timing.seconds), _time(timing.limit), timing.bound, f"{timing.ratio:.0%}"


def _time(seconds: float) -> str:
    return f"{seconds * MILLI:,.3f} ms" if seconds >= 1 / MILLI else f"{seconds * MICRO:,.1f} us"


def stages_table(found: Estimate) -> Table:
    """Cycles of a layer in each unit, for the prompt and for a token."""
    table = new_table("cycles of a layer by stage, data at hand", "name", "prompt", "token")
    token = found.decode.stages if found.decode else {}
    for name in dict.fromkeys((*found.prefill.stages, *token)):
        cells = (f"{stages[name]:,}" if name in stages else "" for stages in (found.prefill.stages, token))
        table.add_row(name, *cells)
    return table


def constraints_table(constraints: tuple[Constraint, ...]) -> Table:
    """What the design needs of what there is."""
    table = new_table("constraints", "name", "needed", "available", "used")
    for one in constraints:
        figures = (f"{number:,.6g}" for number in (one.needed, one.available))
        table.add_row(f"{one.name}, {one.unit}", *figures, f"{one.used:.0%}")
    return table


def assumptions(found: Estimate) -> str:
    """What the figures rest on, in a sentence."""
    return (
        f"at {found.clock_mhz:g} MHz and {found.watts:g} W ({found.watts_source}), {found.design.weight_bits}-bit "
        "weights; the clock is an assumption, and limits count two products a cycle in each DSP of the design and the "
        "whole bandwidth of the memory"
    )
