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
@click.pass_obj
def quantise_command(
    early: str | None,
    model: str | None,
    out: Path,
    static: bool,
    checkpoint: Path | None,
    random_weights: bool,
    weight_bits: WeightBits,
    force: bool,
) -> None:
    """Quantise a model's weights to the integers of the hardware."""
    from ...model.gpt2.prepare import prepare as prepare_decoder
    from ...model.gpt2.quantised import QuantisedGpt2
    from ...model.gpt2.weights import Gpt2Weights
    from ...model.origin import Origin
    from ...model.prepare import Prepared, PreparedModel, prepare
    from ...model.quantised import QuantisedBert, is_quantised
    from ...model.spec import BertSpec, Gpt2Spec, ModelSpec, presets
    from ...output import output_file
    from ..planned import chosen_model

    name = chosen_name(model or early, presets(ModelSpec))
    spec = chosen_model(name)
    if isinstance(spec, BertSpec):
        weight_bits.check_encoder()
    origin = Origin.of(name, checkpoint=checkpoint, random_weights=random_weights)
    path = output_file(out, "quantise", is_quantised, force=force, reads=origin.files())
    with shown_progress() as progress:
        progress("quantising")
        prepared: PreparedModel[Gpt2Weights, QuantisedGpt2] | Prepared
        if isinstance(spec, Gpt2Spec):
            prepared = prepare_decoder(spec, origin, static=static, weight_bits=weight_bits)
        else:
            assert isinstance(spec, BertSpec)
            prepared = prepare(spec, origin, static=static)
        prepared.quantised.save(path)
    click.echo(prepared.told())
    if isinstance(prepared.quantised, QuantisedBert):
        click.echo(str(prepared.quantised.pooling))
    click.echo(f"{out}: {path.stat().st_size:,} bytes")
