"""The command `quantise`: a model's weights as the hardware's integers."""

from pathlib import Path

import click

from ...model.weightbits import WeightBits
from ..console import shown_progress
from .options import model_option, weight_options

__all__ = ["quantise_command"]


@click.command("quantise")
@model_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.", metavar="FILE")
@click.option(
    "--static", is_flag=True, help="Fix the ranges of rows by calibration, instead of finding each at run time."
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights in safetensors.", metavar="PATH")
@weight_options
@click.pass_obj
def quantise_command(
    early: str | None, model: str | None, out: Path, static: bool, checkpoint: Path | None, weight_bits: WeightBits
) -> None:
    """Quantise a model's weights to the integers of the hardware."""
    from ...model.gpt2.prepare import prepare as prepare_decoder
    from ...model.gpt2.quantised import QuantisedGpt2
    from ...model.prepare import prepare
    from ...model.quantised import QuantisedBert
    from ...model.spec import BertSpec, Gpt2Spec
    from ..planned import chosen_model

    spec = chosen_model(model or early)
    with shown_progress() as progress:
        progress("quantising")
        quantised: QuantisedBert | QuantisedGpt2
        if isinstance(spec, Gpt2Spec):
            quantised = prepare_decoder(spec, checkpoint=checkpoint, static=static, weight_bits=weight_bits).quantised
        else:
            assert isinstance(spec, BertSpec)
            weight_bits.check_encoder()
            quantised = prepare(spec, checkpoint=checkpoint, static=static).quantised
        quantised.save(out)
    click.echo(f"{out}: {spec.name}, {quantised.source}, {out.stat().st_size:,} bytes")
