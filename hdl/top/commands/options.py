"""The options that several commands share."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click
from click.shell_completion import CompletionItem

from ...bounds import CLOCK, SEQUENCES
from ...errors import InputError
from ...model.weightbits import WeightBits
from .numbers import Decimal, Whole
from .paths import NamedPath

__all__ = [
    "chosen_name",
    "device_option",
    "force_option",
    "gpu_names",
    "hardware_options",
    "json_option",
    "model_option",
    "origin_options",
    "sequences_option",
    "share_option",
    "tile_option",
    "weight_options",
    "workload_options",
]

Command = Callable[..., Any]


def model_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What completes a model that has been ``begun``: built-in names, or a path."""
    from ...builtin import built_in

    return begun_by(begun, sorted(built_in("hdl", "model/presets"))) or [CompletionItem(begun, type="file")]


def fpga_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What completes an FPGA that has been ``begun``."""
    return begun_by(begun, device_names("fpga"))


def gpu_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What completes a GPU that has been ``begun``."""
    return begun_by(begun, device_names("gpu"))


def device_names(kind: str) -> list[str]:
    """The built-in devices of a kind, without loading the whole model of them."""
    from ...builtin import built_in, read_built_in

    folder = "perf/devices"
    return [name for name in built_in("hdl", folder) if read_built_in("hdl", folder, name, "device")["kind"] == kind]


def begun_by(begun: str, names: Sequence[str]) -> list[CompletionItem]:
    """The names that begin like this."""
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def given_model(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The model that stands after a command, or else before it."""
    return value or context.obj


def with_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with options, which its help shows in this order."""
    for option in reversed(options):
        command = option(command)
    return command


model_option = click.option(
    "--model",
    help="A built-in model's name, or the path of its config.json.",
    metavar="NAME",
    shell_complete=model_names,
    callback=given_model,
)

device_option = click.option(
    "--device", default="u280", show_default=True, help="The FPGA.", metavar="NAME", shell_complete=fpga_names
)

share_option = click.option(
    "--share",
    type=Decimal(),
    default=1.0,
    show_default=True,
    help="Share of the device's DSPs, RAMs and logic to plan for. A smaller design is built and simulated sooner.",
    metavar="SHARE",
)

force_option = click.option("--force", is_flag=True, help="Replace a file that this command did not write.")

json_option = click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")

output_option = click.option(
    "--output", type=Whole(), help="Tokens to generate after a prompt.  [default: 64; an encoder generates none]"
)

sequences_option = click.option(
    "--sequences",
    type=Whole(SEQUENCES),
    default=1,
    show_default=True,
    help="Sequences that are processed at the same time.",
)

tile_option = click.option(
    "--tile",
    type=Whole(),
    help="Tokens processed at once: 2, 4 or 8.  [default: 4, or 2 if that does not fit; for a decoder the better]",
)

clock_option = click.option(
    "--clock", "clock_mhz", type=Decimal(CLOCK), help="The clock in MHz.  [default: the device's]"
)


def origin_options(command: Command) -> Command:
    """The options --checkpoint and --random-weights, which say where weights come from."""
    return with_options(
        command,
        click.option(
            "--checkpoint",
            type=NamedPath(),
            help="Weights in safetensors, a file or a folder.  [default: built-in ones, or those beside config.json]",
            metavar="PATH",
        ),
        click.option("--random-weights", is_flag=True, help="Draw random weights, to try a model that has none."),
    )


def weight_options(command: Command) -> Command:
    """The options --weight-bits and --int8 of what is built, which a command takes as its ``weight_bits``."""

    @click.option(
        "--weight-bits",
        type=Whole(),
        default=8,
        show_default=True,
        help="Bits of a decoder's weights in memory: 8 or 4.",
    )
    @click.option(
        "--int8",
        multiple=True,
        help="With --weight-bits 4, the name of a product whose weights keep 8 bits; a wrong name lists all. May be "
        "given several times.",
        metavar="PRODUCT",
    )
    @wraps(command)
    def chosen(*arguments: Any, weight_bits: int, int8: tuple[str, ...], **others: Any) -> Any:
        return command(*arguments, weight_bits=WeightBits.of(weight_bits, int8), **others)

    return chosen


def hardware_options(command: Command) -> Command:
    """The options that decide a pipeline."""
    return with_options(
        command,
        model_option,
        device_option,
        click.option(
            "--max-length",
            type=Whole(),
            help="Tokens of the longest sequence, of a decoder half prompt and half output.  [default: 512, or all "
            "positions of the model]",
        ),
        click.option("--prompt", type=Whole(), help="Tokens of the prompt, instead of --max-length."),
        output_option,
        tile_option,
        clock_option,
        share_option,
        weight_options,
    )


def workload_options(command: Command) -> Command:
    """The options of what is to be run: model, device, lengths, sequences in flight, format and clock."""
    return with_options(
        command,
        model_option,
        device_option,
        click.option("--prompt", type=Whole(), default=128, show_default=True, help="Tokens of the prompt."),
        output_option,
        sequences_option,
        weight_options,
        tile_option,
        clock_option,
    )


def chosen_name(name: str | None, known: Sequence[str] | None = None) -> str:
    """The name, if one is given; ``known``: those to be named if not, all networks by default.

    Raises:
        InputError: where none is given.
    """
    if name is None:
        from ...model.load import networks

        names = ", ".join(known or networks())
        raise InputError(f"a model must be given with --model; known: {names}, or a path to a config.json")
    return name
