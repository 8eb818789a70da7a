"""What `scale` shows: one model on more and more devices, as a table."""

from collections.abc import Sequence

from rich.table import Table

from ..perf.partitioning.partition import Partition
from .describe import new_table
from .estimate_tables import workload

__all__ = ["HEADINGS", "assumptions", "figures", "table"]

MILLI = 1e3

HEADINGS = (
    "devices",
    "split",
    "first ms",
    "token ms",
    "tokens/s",
    "J/token",
    "speedup",
    "efficiency",
    "reason",
)
"""The columns of a table of partitions."""


def figures(one: Partition) -> tuple[str, ...]:
    """The cells of a partition, as `HEADINGS` names them."""
    token = "" if one.token_seconds is None else f"{one.token_seconds * MILLI:,.3f}"
    rate = f"{one.tokens_a_second:,.{1 if one.tokens_a_second < 1000 else 0}f}"
    return (
        f"{one.devices}", f"{one.tensor} x {one.pipeline}", f"{one.first_token_seconds * MILLI:,.2f}", token,
        rate, f"{one.joules_a_token:,.3g}", f"{one.speedup:.2f}", f"{one.efficiency:.1%}",
        one.reason,
    )  # fmt: skip


def table(found: Sequence[Partition]) -> Table:
    """All numbers of devices, from few to many."""
    work = found[0].work
    title = workload(work.prompt, work.output, work.sequences)
    made = new_table(f"{found[0].network.name} on several {found[0].device.board}: {title}", *HEADINGS)
    for one in found:
        made.add_row(*figures(one))
    made.columns[-1].justify = "left"
    return made


def assumptions(found: Sequence[Partition]) -> str:
    """What the columns mean, and what the figures are based on."""
    link, least = found[0].link, found[0].least
    against = "1 device" if least == 1 else f"{least} devices, the fewest that hold the model"
    return (
        "split: number of devices that divide each layer x number of stages of layers. speedup and efficiency compare "
        f"the whole work, prompts and output, with {against}. J/token counts all boards, also those without a share. "
        "reason: what makes the efficiency fall here; where it does not fall, what bounds the devices. Assumed: a ring "
        f"of {link.name} links with {link.bandwidth_gb_s:g} GB/s and {link.latency_us:g} us per message, "
        f"{found[0].work.clock_mhz:g} MHz, and no overlap of transfers and work."
    )
