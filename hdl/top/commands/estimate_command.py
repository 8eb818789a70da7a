"""The command `estimate`: one model on one device, as tables or as JSON."""

import json
from typing import Any

import click

from ..console import show, shown_progress
from .options import chosen_name, json_option, workload_options

__all__ = ["estimate_command"]


@click.command("estimate")
@workload_options
@json_option
def estimate_command(model: str | None, device: str, as_json: bool, **options: Any) -> None:
    """Estimate time, throughput and energy of the design that emit makes, or of one that is estimated only."""
    from ...perf.estimate import estimate
    from ..emitted import design_dict, design_lines, shown_lines
    from ..estimate_tables import assumptions, bounds, constraints_table, figures_table, stages_table

    with shown_progress() as progress:
        progress("choosing the geometry")
        name = chosen_name(model)
        found = estimate(name, device, **options)
    if as_json:
        click.echo(json.dumps({"emit": design_dict(found, name)} | found.as_dict(), indent=2))
    else:
        show(*shown_lines(design_lines(found, name)))
        show(figures_table(found), stages_table(found), constraints_table(found.constraints))
        show(*bounds(found), assumptions(found))
