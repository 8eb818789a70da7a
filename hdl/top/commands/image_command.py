"""The command `image`: a model as it lies in the memory of a card."""

from pathlib import Path
from typing import Any

import click

from ...model.weightbits import WeightBits
from ..console import shown_progress
from .options import force_option, hardware_options, origin_options
from .paths import NamedPath

__all__ = ["image_command"]


@click.command("image")
@hardware_options
@origin_options
@click.option(
    "--static", is_flag=True, help="Fix the ranges of rows by calibration, instead of finding each at run time."
)
@click.option("--out", type=NamedPath(), required=True, help="The file to write.", metavar="FILE")
@force_option
def image_command(
    model: str | None,
    device: str,
    weight_bits: WeightBits,
    checkpoint: Path | None,
    random_weights: bool,
    static: bool,
    out: Path,
    force: bool,
    **options: Any,
) -> None:
    """Write a model's memory image for the kernel that emit makes of the same options."""
    from ...model.origin import TOKENISER, Origin
    from ...model.prepare import prepare
    from ...output import output_file
    from ...textfile import read_text
    from ..kernel.image_file import is_image, write_image
    from ..kernel.kernel_spec import KernelSpec
    from ..planned import chosen_model, planned

    network = chosen_model(model)
    name = model or network.name
    origin = Origin.of(name, checkpoint=checkpoint, random_weights=random_weights)
    path = output_file(out, "image", is_image, force=force, reads=origin.files())
    with shown_progress() as progress:
        progress("choosing the geometry")
        made = planned(model, device, weight_bits=weight_bits, **options)
        spec = KernelSpec(made.spec)
        progress("quantising")
        prepared = prepare(network, origin, static=static, weight_bits=weight_bits)
        found = origin.find(TOKENISER)
        tokeniser = None if found is None else read_text(found, "tokeniser")
        told = {"model": network.name, "device": made.device.name, "clock_mhz": made.device.clock_mhz}
        write_image(path, prepared.quantised, spec, tokeniser=tokeniser, told=told, progress=progress)
    click.echo(prepared.told())
    click.echo(
        f"{out}: {path.stat().st_size:,} bytes, {len(spec.image_channels)} channels, for {spec.name} with the hash "
        f"{spec.design_hash:016x}"
    )
