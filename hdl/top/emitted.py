"""What `emit` makes for work that is estimated. Estimates choose among more designs than `emit` can make yet, so every
output about them says which design it shows, whether `emit` makes it, and by which command."""

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from ..errors import InputError
from ..model.network import Network
from ..model.weightbits import WeightBits
from ..perf.buildable import not_built
from ..perf.design import Design, SpatialDesign
from ..perf.device import Device
from ..perf.estimate import Estimate
from ..perf.plan import plan
from ..perf.spec import PipelineSpec
from .platforms import check_board

__all__ = [
    "Emitted",
    "described",
    "design_dict",
    "design_lines",
    "emitted",
    "emitted_for",
    "shares_lines",
    "shown_lines",
]


@dataclass(frozen=True, kw_only=True)
class Emitted:
    """The geometry that `emit` chooses and the ``command`` that makes it, or the ``refusal`` and no command. Where the
    device has room and only its constraints are missing, the ``spec`` is there as well."""

    spec: PipelineSpec | None
    command: str
    refusal: str


def emitted(
    network: Network,
    device: Device,
    *,
    model: str,
    tokens: int,
    sequences: int = 1,
    weight_bits: int = 8,
    tile: int | None = None,
) -> Emitted:
    """What `emit` makes of ``network``, which the command line calls ``model``, for up to ``tokens`` tokens of each of
    ``sequences``. ``tile``: tokens worked on at once, as the option has them."""
    spec, refusal = None, not_built(network)
    try:
        if refusal is None and network.causal and sequences > 1:
            refusal = f"a decoder works on one sequence at a time, not {sequences}"
        if refusal is None:
            bits = WeightBits.of(weight_bits)
            spec = plan(network, device, tile=tile, max_length=tokens, weight_bits=bits)
            check_board(device)
    except InputError as error:
        refusal = str(error)
    words = ["python", "-m", "hdl.top", "--model", model, "emit", "--device", device.name, "--max-length", str(tokens)]
    words += ["--tile", str(tile)] if tile else []
    words += ["--weight-bits", str(weight_bits)] if weight_bits != 8 else []
    return Emitted(spec=spec, command="" if refusal else shlex.join(words), refusal=refusal or "")


def emitted_for(found: Estimate, model: str, tile: int | None) -> Emitted:
    """What `emit` makes for the work of an estimate: an encoder with the estimate's own tile, a decoder with ``tile``
    as it was asked for."""
    own = tile if found.network.causal else found.design.spec.rows
    return emitted(
        found.network, found.device, model=model, tokens=found.prompt + found.output, sequences=found.sequences,
        weight_bits=found.design.weight_bits, tile=own,
    )  # fmt: skip


def described(design: Design) -> str:
    """A design in a few words."""
    return f"{design.kind}, tiles of {design.spec.rows} tokens, {design.resources.dsp:,} DSPs"


def design_lines(found: Estimate, made: Emitted, title: str = "Design of this estimate") -> list[str]:
    """Which design an estimate shows, whether `emit` makes it, and the command."""
    lines = [f"{title}: {described(found.design)}."]
    clock = ""
    if found.clock_mhz != found.device.clock_mhz:
        clock = f", with constraints for {found.device.clock_mhz:g} MHz and not for {found.clock_mhz:g}"
    if made.refusal:
        return [*lines, f"emit makes no design for this work: {made.refusal}."]
    assert made.spec is not None
    if made.spec == found.design.spec:
        return [*lines, f"emit makes this design{clock}:", made.command]
    other = described(SpatialDesign(found.network, made.spec))
    return [
        *lines,
        f"emit does not make it. It makes another design, which describe shows ({other}){clock}:",
        made.command,
    ]


def shares_lines(kinds: Collection[str], made: Emitted) -> list[str]:
    """Which ``kinds`` of designs several devices have that share a network, that `emit` makes none of them, and the
    command for the whole network on one device."""
    lines = [
        f"Design of each device: {' or '.join(dict.fromkeys(kinds))}, for its share of the model. emit does not make "
        "shares of a model, nor links between devices."
    ]
    if made.refusal:
        return [*lines, f"For one device emit makes no design either: {made.refusal}."]
    return [*lines, "For the whole model on one device emit makes a design of its own choice:", made.command]


def shown_lines(lines: list[str]) -> list[Text]:
    """Lines for `show`; a command is not broken, so that it can be copied."""
    return [
        Text(line, no_wrap=line.startswith("python "), overflow="ignore" if line.startswith("python ") else None)
        for line in lines
    ]


def design_dict(found: Estimate, made: Emitted) -> dict[str, Any]:
    """The same for JSON."""
    return {"same_design": made.spec == found.design.spec, "command": made.command or None, "refusal": made.refusal}
