"""The command `describe`: the units of the pipeline that `emit` writes."""

import click

from ...model.weightbits import WeightBits
from ..console import show
from .options import hardware_options

__all__ = ["describe_command"]


@click.command("describe")
@hardware_options
@click.pass_obj
def describe_command(
    early: str | None,
    model: str | None,
    device: str,
    tile: int | None,
    max_length: int | None,
    weight_bits: WeightBits,
    share: float,
) -> None:
    """Show the pipeline's units: how each is laid out, its speed, and what it takes of the device."""
    from ..describe import planned_share, summary, units_table
    from ..planned import planned

    network, board, spec = planned(model or early, device, tile, max_length, weight_bits, share)
    title = f"{network.name} on {board.board}, {spec.rows} tokens per tile, at most {spec.positions} tokens"
    show(units_table(spec, board, title), summary(spec, board), *planned_share(spec, board, share))
