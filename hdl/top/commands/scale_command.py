"""The command `scale`: one model on more and more devices, as a table or as JSON."""

import json
from typing import Any

import click

from ...bounds import DEVICES
from ..console import show, shown_progress
from .numbers import Whole
from .options import chosen_name, json_option, workload_options

__all__ = ["scale_command"]


@click.command("scale")
@workload_options
@click.option(
    "--devices",
    type=Whole(DEVICES),
    default=DEVICES.most,
    show_default=True,
    help=f"The most devices, up to {DEVICES.most}.",
)
@click.option("--tensor", type=Whole(), help="Devices that share each layer.  [default: the best number]")
@json_option
def scale_command(model: str | None, device: str, devices: int, as_json: bool, **options: Any) -> None:
    """Estimate a model on several devices, split by layers and within layers, and what limits the speedup."""
    from ...perf.partitioning.partition import scaling
    from ..emitted import shares_lines, shown_lines
    from ..scale_tables import assumptions, table

    with shown_progress() as progress:
        progress("dividing the model")
        name = chosen_name(model)
        found = scaling(name, device, devices, **options)
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=2))
    else:
        show(*shown_lines(shares_lines([one.split.stages[0].estimate.design.kind for one in found])))
        show(table(found), assumptions(found))
