"""The command `perplexity`: how well a decoder predicts texts, in float32 and in integers."""

from pathlib import Path

import click

from ..console import show, shown_progress
from .numbers import Whole
from .options import chosen_name, model_option, origin_options
from .paths import NamedPath

__all__ = ["perplexity_command"]


@click.command("perplexity")
@model_option
@click.option(
    "--text",
    "texts",
    type=NamedPath(),
    multiple=True,
    required=True,
    help="A file with text that calibration does not see. May be given several times.",
    metavar="FILE",
)
@click.option(
    "--length", type=Whole(), help="Tokens of each part of a text.  [default: 512, or all positions of the model]"
)
@click.option("--parts", type=Whole(), help="The most parts of each text that are taken.  [default: all]")
@click.option(
    "--weight-bits",
    "bits",
    type=Whole(),
    multiple=True,
    default=(8,),
    show_default="8",
    help="Bits of the weights, 8, 5 or 4. May be given several times, for several formats beside each other.",
)
@click.option("--int8", multiple=True, help="The name of a product whose weights keep 8 bits.", metavar="PRODUCT")
@click.option("--float", "float_only", is_flag=True, help="Float32 alone, without any integers.")
@origin_options
def perplexity_command(
    model: str | None,
    texts: tuple[Path, ...],
    length: int | None,
    parts: int | None,
    bits: tuple[int, ...],
    int8: tuple[str, ...],
    float_only: bool,
    checkpoint: Path | None,
    random_weights: bool,
) -> None:
    """Compare how well a decoder predicts texts in float32 and in integers."""
    from ...model.load import load_model, presets
    from ...model.origin import Origin
    from ...model.weightbits import INTEGERS, WeightBits
    from ..perplexities import chosen_parts, measure, perplexity_table

    name = chosen_name(model, presets())
    network = load_model(name)
    formats = [] if float_only else [WeightBits.of(own, int8 if own < 8 else (), known=INTEGERS) for own in bits]
    origin = Origin.of(name, checkpoint=checkpoint, random_weights=random_weights)
    with shown_progress() as progress:
        chosen = chosen_parts(network, origin, texts, length, parts)
        found = measure(network, origin, chosen, formats, progress)
    show(perplexity_table(network, chosen, found))
