"""The command `describe`: the units of the pipeline that `emit` writes."""

from typing import Any

import click

from ..console import show
from .options import hardware_options

__all__ = ["describe_command"]


@click.command("describe")
@hardware_options
def describe_command(model: str | None, device: str, **options: Any) -> None:
    """Show the pipeline's units: how each is laid out, its speed, and what it takes of the device."""
    from ..describe import planned_share, summary, units_table
    from ..planned import planned

    name, board, spec, workload = planned(model, device, **options)
    title = f"{name} on {board.board}, {spec.rows} tokens per tile, at most {spec.positions} tokens"
    show(units_table(spec, board, title), summary(spec, board, workload), *planned_share(spec, board, options["share"]))
