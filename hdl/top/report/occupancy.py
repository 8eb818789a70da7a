"""Occupancy over time: when each unit of a design is busy, and with which layer.

For a design that `emit` makes, it is the counted schedule (`hdl.perf.schedule`). For designs that are estimated only,
the stages are drawn from their formulas.
"""

from dataclasses import replace

from ...kernels.requantise import RequantiseSpec
from ...kernels.residual import ResidualSpec
from ...kernels.rowquantise import RowQuantiseSpec
from ...perf.device import Device
from ...perf.estimate import Estimate
from ...perf.geometry.decoder_spec import DecoderSpec
from ...perf.geometry.pipeline_spec import PipelineSpec
from ...perf.memory_timing import MemoryTiming
from ...perf.schedule.decoder_schedule import counted_run
from .stages import stage_timelines
from .text import duration, number
from .timeline import Timeline, layer_timeline, timeline
from .traced_run import LOAD, TracedEncoder, TracedRun

__all__ = ["built_timelines", "encoder_timelines", "timelines", "traced_encoder"]

PASSING = (RowQuantiseSpec, RequantiseSpec, ResidualSpec)
"""Units that only pass tiles on. Pictures leave them out; the tables have their shares."""

FIRST, TILES = 2, 64
"""Layers of a prompt that are shown tile by tile; where they have 64 tiles or more, only the first 64 tiles."""


def timelines(found: Estimate) -> tuple[Timeline, ...]:
    """The pictures of an estimate. For an encoder: the whole run, and one layer of it. For a decoder: the prompt and a
    token."""
    if not found.network.causal:
        return encoder_timelines(found)
    if isinstance(found.design.spec, DecoderSpec):
        return built_timelines(found)
    first, *others = stage_timelines(found)
    why = f"There is no schedule of this work, since emit makes no design for it ({found.refusal})."
    return replace(first, note=f"{why} {first.note}"), *others


def units_of(spec: PipelineSpec) -> list[str]:
    """The units that are drawn, in the order of the data; those of the product of a decoder's head under its name."""
    units = [name for name, unit in spec.tile_units.items() if not isinstance(unit, PASSING)]
    return ["embedding", *units, spec.head_product.name] if isinstance(spec, DecoderSpec) else units


def traced_encoder(spec: PipelineSpec, tokens: int, layers: int) -> tuple[int, TracedEncoder]:
    """The cycles of a run through all layers, and the run."""
    run = TracedEncoder(spec, tokens)
    *_, last = run.follow(layers)
    return int(last[-1]) + 1, run


def encoder_timelines(found: Estimate) -> tuple[Timeline, ...]:
    """The pictures of an encoder's run, and of a layer of it."""
    spec, layers, units = found.design.spec, found.network.layers, units_of(found.design.spec)
    cycles, run = traced_encoder(spec, found.prompt, layers)
    exact = "This is the exact schedule of this page's design: its cycles equal those of the simulated Verilog."
    return (
        timeline("The whole run", f"{exact} Layers alternate in colour.", 0, cycles, run.spans(), units),
        layer_timeline(
            f"Layer {layers // 2 + 1} of {layers}",
            f"{exact} The other colour is the layer before or after. Work without a gap is one mark.",
            layers // 2, run.spans(), units, units,
        ),
    )  # fmt: skip


def built_timelines(found: Estimate) -> tuple[Timeline, ...]:
    """The pictures of a prompt, of its first layers tile by tile, and of a token in the middle of the output and a
    layer of it, with the memory of the device."""
    spec, device = found.design.spec, found.device
    timing = MemoryTiming.of_device(device)
    prompt = prompt_timelines(counted_run(TracedRun, spec, found.prompt, 0, timing), device)
    if found.token is None:
        return prompt
    token = counted_run(TracedRun, spec, 1, found.prompt + found.output // 2, timing)
    return (*prompt, *token_timelines(token, device))


def schedule_note(run: TracedRun, device: Device) -> str:
    """The design of a decoder's run, and its time."""
    spec, seconds = run.spec, run.ended / (device.clock_mhz * 1e6)
    place = "on chip" if spec.cache_on_chip else f"off chip, with {spec.cache_channels} memory ports each"
    return (
        f"Schedule of the design for {spec.positions} tokens: tiles of {spec.rows} tokens, keys and values {place}. It "
        f"takes {number(run.ended)} cycles, {duration(seconds)}, counted as in describe."
    )


def prompt_timelines(run: TracedRun, device: Device) -> tuple[Timeline, ...]:
    """The pictures of a prompt."""
    spec, by_tile = run.spec, run.spans(tiles=True)
    layers = max(1, min(FIRST, spec.max_layers - 1))
    shown, count = layers * run.tiles, "The first layer" if layers == 1 else f"The first {layers} layers"
    if run.tiles >= TILES:
        shown, count = TILES, f"The first {TILES} tiles"
    rows = rows_of(run)
    end = max(one.end for name in units_of(spec) for one in by_tile[name] if one.turn < shown)
    marks = (
        "Layers alternate in colour. The height of a mark of the head is the share of the arrays that work on it; the "
        "height of a mark of a load is the share of the memory channels' bandwidth."
    )
    tiles = "Tiles alternate in colour; for loads, layers do."
    return (
        timeline("The prompt", f"{schedule_note(run, device)} {marks}", 0, run.ended, run.spans(), rows),
        timeline(f"{count} of the prompt", tiles, 0, end, by_tile, rows),
    )


def token_timelines(run: TracedRun, device: Device) -> tuple[Timeline, ...]:
    """The pictures of a token."""
    spans, layers, rows = run.spans(), run.spec.max_layers, rows_of(run)
    ahead = "Weights are loaded ahead, as far as the RAMs have room."
    if run.loads:
        ahead += " Keys and values of the first layers are loaded while the head still works on the previous token."
    marks = (
        "All arrays compute each product together. The height of a mark is the share of the arrays that work; for a "
        "load it is the share of the memory channels' bandwidth."
    )
    title = f"A token after {number(run.position)} others"
    return (
        timeline(title, f"{schedule_note(run, device)} {marks} {ahead}", 0, run.ended, spans, rows),
        layer_timeline(
            f"Layer {layers // 2 + 1} of {layers} of the token", "The other colour is the layer before or after.",
            layers // 2, spans, units_of(run.spec), rows,
        ),
    )  # fmt: skip


def rows_of(run: TracedRun) -> list[str]:
    """The rows of the pictures of a decoder's run, from the first unit to the last load."""
    products = (product for section in run.spec.sections.values() for product in section.products)
    loads = ("parameters", *products, *run.spec.memories)
    return [name for name in (*units_of(run.spec), *(LOAD + name for name in loads)) if name in run.worked]
