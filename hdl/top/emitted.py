"""What outputs about estimates say first: whether `emit` makes the design that they show, and by which command."""

import shlex
from collections.abc import Collection
from typing import Any

from rich.text import Text

from ..errors import InputError
from ..model.network import Network
from ..model.weightbits import WeightBits
from ..perf.designs.design import Design
from ..perf.device import Device
from ..perf.estimate import Estimate
from ..perf.workload import Workload
from .flows.flow import Flow, check_flow

__all__ = [
    "bits_words",
    "described",
    "design_dict",
    "design_lines",
    "emit_command",
    "refusal",
    "shares_lines",
    "shown_lines",
]


def emit_command(model: str, network: Network, device: Device, workload: Workload) -> str:
    """The command that makes the design of a workload of a network, which the command line calls ``model``."""
    options: dict[str, Any] = {"device": device.name, "prompt": workload.prompt}
    if network.causal:
        options["output"] = workload.output
    if workload.tile is not None:
        options["tile"] = workload.tile
    if workload.clock_mhz is not None:
        options["clock"] = f"{workload.clock_mhz:g}"
    words = ["python", "-m", "hdl.top", "--model", model, "emit"]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return shlex.join([*words, *bits_words(workload.weight_bits)])


def bits_words(bits: WeightBits) -> list[str]:
    """The options of a command for bits of weights that are not the default."""
    wide = [word for name in sorted(bits.int8) for word in ("--int8", name)]
    return ["--weight-bits", "4", *wide] if bits.packed else []


def refusal(found: Estimate) -> str:
    """Why `emit` does not make the design of an estimate; empty if it does."""
    try:
        check_flow(found.device, Flow.VIVADO)
    except InputError as error:
        return found.refusal or str(error)
    return found.refusal


def described(design: Design) -> str:
    """A design in a few words."""
    return f"{design.kind}, tiles of {design.spec.rows} tokens, {design.resources.dsp:,} DSPs"


def design_lines(found: Estimate, model: str) -> list[str]:
    """Whether `emit` makes the design that an estimate shows, with its command; or why not."""
    if why := refusal(found):
        return [f"Estimated only: {described(found.design)}. emit makes no design for this work: {why}."]
    return [
        f"emit makes this design: {described(found.design)}.",
        emit_command(model, found.network, found.device, found.workload),
    ]


def shares_lines(kinds: Collection[str]) -> list[str]:
    """Which ``kinds`` of designs several devices have that share a network, and that `emit` makes none of them."""
    return [
        f"Estimated only: a {' or '.join(dict.fromkeys(kinds))} design on each device, for its share of the model. "
        "emit makes no shares of a model, and no links between devices. On one device, estimate shows what emit makes."
    ]


def shown_lines(lines: list[str]) -> list[Text]:
    """Lines for `show`; a command is not broken, so that it can be copied."""
    return [
        Text(line, no_wrap=line.startswith("python "), overflow="ignore" if line.startswith("python ") else None)
        for line in lines
    ]


def design_dict(found: Estimate, model: str) -> dict[str, Any]:
    """The same for JSON."""
    why = refusal(found)
    return {
        "command": None if why else emit_command(model, found.network, found.device, found.workload),
        "refusal": why,
    }
