"""The command `quantise`: a model's weights as the hardware's integers."""

from pathlib import Path

import click

from ...model.weightbits import WeightBits
from ..console import shown_progress
from .options import chosen_name, force_option, model_option, origin_options, weight_options
from .paths import NamedPath

__all__ = ["quantise_command"]


@click.command("quantise")
@model_option
@click.option("--out", type=NamedPath(), required=True, help="The file to write.", metavar="FILE")
@click.option(
    "--static", is_flag=True, help="Fix the ranges of rows by calibration, instead of finding each at run time."
)
@origin_options
@weight_options
@force_option
def quantise_command(
    model: str | None,
    out: Path,
    static: bool,
    checkpoint: Path | None,
    random_weights: bool,
    weight_bits: WeightBits,
    force: bool,
) -> None:
    """Quantise a model's weights to the integers of the hardware."""
    from ...model.load import presets
    from ...model.origin import Origin
    from ...model.prepare import prepare
    from ...model.quantisedfile import is_quantised, save_quantised
    from ...output import output_file
    from ..planned import chosen_model

    name = chosen_name(model, presets())
    network = chosen_model(name)
    weight_bits.check(network.products, causal=network.causal)
    origin = Origin.of(name, checkpoint=checkpoint, random_weights=random_weights)
    path = output_file(out, "quantise", is_quantised, force=force, reads=origin.files())
    with shown_progress() as progress:
        progress("quantising")
        prepared = prepare(network, origin, static=static, weight_bits=weight_bits)
        save_quantised(path, prepared.quantised)
    click.echo(prepared.told())
    if not network.causal:
        click.echo(str(prepared.quantised.pooling))
    click.echo(f"{out}: {path.stat().st_size:,} bytes")
