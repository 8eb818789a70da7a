"""The command `estimate`: one model on one device, as tables or as JSON."""

import json
from typing import Any

import click

from ..console import show, shown_progress
from .options import chosen_name, workload_options

__all__ = ["estimate_command"]


@click.command("estimate")
@workload_options
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
@click.pass_obj
def estimate_command(early: str | None, /, model: str | None, device: str, as_json: bool, **options: Any) -> None:
    """Estimate time, throughput and energy of a model on a device, with the best geometry that fits."""
    from ...perf.estimate import estimate
    from ..estimate_tables import assumptions, constraints_table, figures_table, stages_table

    with shown_progress() as progress:
        progress("choosing the geometry")
        found = estimate(chosen_name(model or early), device, **options)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        show(figures_table(found), stages_table(found), constraints_table(found.constraints), assumptions(found))
