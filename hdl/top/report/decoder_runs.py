"""Occupancy over time of a decoder that can be built: its schedule as `describe` and `emit` count it."""

from collections.abc import Mapping, Sequence

from ...perf.device import Device
from ...perf.estimate import Estimate
from ...perf.memory_timing import MemoryTiming
from ...perf.schedule.decoder_schedule import counted_run
from .text import duration, number
from .timeline import Span, Timeline, timeline
from .traced_run import LOAD, TracedRun

__all__ = ["built_timelines"]

UNITS = (
    "embedding", "norm1", "qkv", "scores", "softmax", "sums", "projection", "norm2", "ffn1", "activation", "ffn2",
    "head",
)  # fmt: skip
"""A decoder's units in the order of the data, without those that only pass tiles on; the table has their shares."""

LOADED = ("parameters", "qkv", "projection", "ffn1", "ffn2", "head", "keys", "values")
"""What is loaded from off-chip memory."""

FIRST, TILES = 2, 64
"""Layers of a prompt that are shown tile by tile; where they have 64 tiles or more, only the first 64 tiles."""


def built_timelines(found: Estimate) -> tuple[Timeline, ...]:
    """The pictures of a prompt, of its first layers tile by tile, and of a token in the middle of the output and a
    layer of it, with the memory of the device."""
    spec, device = found.design.spec, found.device
    timing = MemoryTiming.of_device(device)
    prompt = counted_run(TracedRun, spec, found.prompt, 0, timing)
    shown = _prompt(prompt, _told(prompt, device))
    if found.token is None:
        return shown
    token = counted_run(TracedRun, spec, 1, found.prompt + found.output // 2, timing)
    return (*shown, *_token(token, _told(token, device)))


def _told(run: TracedRun, device: Device) -> str:
    """The design of a run, and its time."""
    spec, seconds = run.spec, run.ended / (device.clock_mhz * 1e6)
    place = "on chip" if spec.cache_on_chip else f"off chip, with {spec.cache_channels} memory ports each"
    return (
        f"Schedule of the design for {spec.positions} tokens: tiles of {spec.rows} tokens, keys and values {place}. It "
        f"takes {number(run.ended)} cycles, {duration(seconds)}, counted as in describe."
    )


def _prompt(run: TracedRun, told: str) -> tuple[Timeline, ...]:
    spans, by_tile, layers = run.spans(), run.spans(tiles=True), run.spec.max_layers
    first = max(1, min(FIRST, layers - 1))
    shown, count = first * run.tiles, "The first layer" if first == 1 else f"The first {first} layers"
    if run.tiles >= TILES:
        shown, count = TILES, f"The first {TILES} tiles"
    end = max(one.end for name in UNITS if name != "head" for one in by_tile[name] if one.turn < shown)
    return (
        timeline(
            "The prompt",
            f"{told} Layers alternate in colour. The height of a mark of the head is the share of the arrays that work "
            "on it; the height of a mark of a load is the share of the memory channels' bandwidth.",
            0, run.ended, spans, _drawn(spans), exact=True,
        ),
        timeline(
            f"{count} of the prompt",
            "Tiles alternate in colour; for loads, layers do.",
            0, end, by_tile, _drawn(spans), exact=True,
        ),
    )  # fmt: skip


def _token(run: TracedRun, told: str) -> tuple[Timeline, ...]:
    spans, layers, middle = run.spans(), run.spec.max_layers, run.spec.max_layers // 2
    own = [one for name in UNITS for one in spans[name] if one.turn == middle]
    ahead = "Weights are loaded ahead, as far as the RAMs have room."
    if run.loads:
        ahead += " Keys and values of the first layers are loaded while the head still works on the previous token."
    return (
        timeline(
            f"A token after {number(run.position)} others",
            f"{told} All arrays compute each product together. The height of a mark is the share of the arrays that "
            f"work; for a load it is the share of the memory channels' bandwidth. {ahead}",
            0, run.ended, spans, _drawn(spans), exact=True,
        ),
        timeline(
            f"Layer {middle + 1} of {layers} of the token",
            "The other colour is the layer before or after.",
            min(one.start for one in own), max(one.end for one in own), spans, _drawn(spans), exact=True,
        ),
    )  # fmt: skip


def _drawn(spans: Mapping[str, Sequence[Span]]) -> list[str]:
    """The rows, from the first unit to the last load."""
    return [name for name in (*UNITS, *(LOAD + name for name in LOADED)) if name in spans]
