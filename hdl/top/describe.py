"""Tables for people: the units of a pipeline, the models and the devices."""

from dataclasses import astuple

from rich import box
from rich.table import Table

from ..model.load import load_network, networks
from ..perf.choice.buildable import not_built
from ..perf.choice.built import pluggable
from ..perf.device import Device, devices, load_device
from ..perf.estimate import FAMILIES
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.workload import Workload
from ..resources import Resources
from .run_cycles import counted_runs, unit_cycles

__all__ = [
    "device_lines",
    "devices_table",
    "models_table",
    "not_built_lines",
    "planned_share",
    "summary",
    "units_table",
]

COUNTED = ("DSP", "BRAM36", "URAM", "LUT", "FF")


def units_table(spec: PipelineSpec, device: Device, title: str) -> Table:
    """Every unit's geometry, MAC a cycle, cycles a tile of the longest sequence, and what it takes of the device."""
    table = new_table(title, "unit", "geometry", "MAC/cycle", "cycles per tile", *COUNTED)
    tile, macs = unit_cycles(spec, spec.max_length), {name: unit.macs for name, unit in spec.tile_units.items()}
    for name, unit in spec.units.items():
        speed = (f"{found[name]:,}" if found.get(name) else "" for found in (macs, tile))
        table.add_row(name, unit.shape, *speed, *counts(unit.resources))
    table.add_row("parameters", "replay buffers", "", "", *counts(spec.parameter_resources), end_section=True)
    total, available = spec.resources, device.resources
    table.add_row("all", "", f"{spec.macs:,}", f"{max(tile.values()):,}", *counts(total))
    shares = (f"{need / have:.0%}" for need, have in zip(astuple(total), astuple(available), strict=True))
    table.add_row(f"of {device.name}", "", "", "", *shares)
    return table


def counts(resources: Resources) -> list[str]:
    """The counts of resources, in the order of `COUNTED`."""
    return [f"{count:,g}" if isinstance(count, float) else f"{count:,}" for count in astuple(resources)]


def summary(spec: PipelineSpec, device: Device, workload: Workload | None = None) -> str:
    """The cycles of the longest sequence, or of a decoder's workload, in a sentence."""

    def counted(name: str, cycles: int, digits: int = 2) -> str:
        return f"{name}: {cycles:,} cycles, {cycles / device.clock_mhz / 1000:.{digits}f} ms"

    clock = f"and the clock of {device.clock_mhz} MHz is an assumption"
    if not isinstance(spec, DecoderSpec):
        run = counted_runs(spec, device, spec.max_length)["run"]
        name = f"{spec.max_length} tokens through {spec.max_layers} layers"
        return f"{counted(name, run)}; the cycles are counted by a model of the design, {clock}"
    prompt = context = spec.positions
    last = "the last token of a text of that length"
    if workload is not None:
        prompt, context = workload.prompt, min(workload.prompt + workload.output // 2 + 1, spec.positions)
        last = f"a token after {context - 1} others"
    first, token = counted_runs(spec, device, prompt)["prompt"], counted_runs(spec, device, context)["token"]
    moved = f"; in block RAM, because URAM is short: {', '.join(spec.block_rams)}" if spec.block_rams else ""
    return (
        f"{counted(f'a prompt of {prompt} tokens', first)}; {counted(last, token, 3)}; the cycles are counted by a "
        f"model of the design and of its memory, {clock}; weights of {spec.weight_bits}{moved}"
    )


def planned_share(spec: PipelineSpec, device: Device, share: float) -> list[str]:
    """What a pipeline that is planned for a ``share`` of the device takes of it, and how to get the full size; nothing
    for a pipeline that may take the whole device."""
    if share == 1:
        return []
    used, available = spec.resources.dsp, device.resources.dsp
    return [
        f"planned for {share:g} of {device.name} (--share): it takes {used:,} of the {available:,} DSPs, "
        f"{used / available:.1%}, and more cycles than the full size, which is planned without --share"
    ]


def models_table() -> Table:
    """The built-in models, and which of them `emit` makes hardware of."""
    table = new_table(
        "models", "name", "family", "layers", "hidden", "heads", "feed-forward", "positions", "parameters", "emit"
    )
    for name in networks():
        model = load_network(name)
        sizes = (model.layers, model.hidden, model.heads, model.intermediate, model.max_positions, model.parameters)
        table.add_row(name, model.family, *(f"{size:,}" for size in sizes), "no" if not_built(model) else "yes")
    return table


def not_built_lines() -> list[str]:
    """Why `emit` makes no hardware of some of the models."""
    reasons: dict[str, list[str]] = {}
    for name in networks():
        if reason := not_built(load_network(name)):
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: estimates only, no emit: {reason}." for reason, names in reasons.items()]


def devices_table() -> Table:
    """The devices: FPGAs, and the GPUs that they are compared with; and for which of them `emit` makes designs."""
    table = new_table("devices", "name", "board", "DSP", "BRAM36", "URAM", "LUT", "memory", "GB/s", "emit")
    built = built_devices()
    for name in devices():
        device = load_device(name)
        here = counts(device.resources)[: len(COUNTED) - 1] if device.slrs else [""] * (len(COUNTED) - 1)
        emit = "yes" if name in built else "no"
        table.add_row(name, device.board, *here, device.memory.name, f"{device.memory.bandwidth_gb_s:,g}", emit)
    return table


def device_lines() -> list[str]:
    """Which commands take which devices."""
    known = [load_device(name) for name in devices()]
    built = built_devices()
    timed = [one.name for one in known if one.name in built and one.memory.timing]
    estimated = [one.name for one in known if one.kind == "fpga" and one.family in FAMILIES]
    return [
        f"estimate, explore, scale, compare and report take {', '.join(estimated)}; describe, emit and sim take "
        f"{', '.join(built)}, and sim runs decoders on {', '.join(timed)}, whose memory has its timing in the device's "
        "file.",
    ]


def built_devices() -> list[str]:
    """The devices for which designs of some models can be built."""
    models = [load_network(name) for name in networks()]
    return [name for name in devices() if any(pluggable(network, load_device(name)) for network in models)]


def new_table(title: str, *columns: str) -> Table:
    """A table with its words to the left and its numbers to the right."""
    words = {"name", "unit", "geometry", "board", "family", "memory"}
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", no_wrap=column in words)
    return table
