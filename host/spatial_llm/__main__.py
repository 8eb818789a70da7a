"""The command: ``python -m spatial_llm embed | generate | doctor``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from hdl.errors import InputError
from hdl.model.sample import Sampling

from .accelerator import DecoderAccelerator, EncoderAccelerator, load
from .doctor import examine
from .kernel import RunError

Command = Callable[..., Any]


def card_options(command: Command) -> Command:
    """The options of all commands: the card, its configuration, and the image."""
    for option in (
        click.option("--card", "index", type=int, default=0, show_default=True, help="The number of the card."),
        click.option(
            "--image", type=click.Path(path_type=Path), required=True, help="The memory image.", metavar="FILE"
        ),
        click.option(
            "--xclbin", type=click.Path(path_type=Path), required=True, help="The configuration.", metavar="FILE"
        ),
    ):
        command = option(command)
    return command


@click.group()
def cli() -> None:
    """Runs a model on a card."""


@cli.command("embed")
@card_options
@click.option("--text", "texts", multiple=True, required=True, help="A text. May be given several times.")
def embed_command(xclbin: Path, image: Path, index: int, texts: tuple[str, ...]) -> None:
    """Print the embedding of each text, one line for each."""
    with load(xclbin, image, index=index) as accelerator:
        if not isinstance(accelerator, EncoderAccelerator):
            raise InputError(f"image {image} must be an encoder's to embed texts, not a decoder's; use generate")
        for vector in accelerator.embed(texts):
            click.echo(" ".join(f"{value:.6f}" for value in np.asarray(vector)))


@cli.command("generate")
@card_options
@click.option("--prompt", required=True, help="The text to continue.")
@click.option("--tokens", type=int, default=32, show_default=True, help="Tokens to generate.")
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0 takes the likeliest.")
@click.option("--top-k", type=int, default=40, show_default=True, help="Candidates for each token.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampling.")
def generate_command(
    xclbin: Path, image: Path, index: int, prompt: str, tokens: int, temperature: float, top_k: int, seed: int
) -> None:
    """Continue a text."""
    sampling = Sampling(temperature=temperature, top_k=top_k, seed=seed)
    with load(xclbin, image, index=index) as accelerator:
        if not isinstance(accelerator, DecoderAccelerator):
            raise InputError(f"image {image} must be a decoder's to generate text, not an encoder's; use embed")
        click.echo(prompt, nl=False)
        for piece in accelerator.generate(prompt, tokens, sampling=sampling):
            click.echo(piece, nl=False)
        click.echo()


@cli.command("doctor")
@card_options
@click.option("--text", default="A text for the doctor.", show_default=True, help="The text to compare on.")
def doctor_command(xclbin: Path, image: Path, index: int, text: str) -> int:
    """Check the card, the image, and a text layer by layer against the integer reference."""
    return examine(xclbin, image, text, index=index, tell=click.echo)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 where the card is wrong, 2 for bad input."""
    try:
        return cli(arguments, standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return 2
    except InputError as error:
        click.echo(f"spatial_llm: {error}", err=True)
        return 2
    except RunError as error:
        click.echo(f"spatial_llm: {error}", err=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
