"""Occupancy over time of a decoder as it is built: its schedule as `describe` and `emit` count it."""

from collections.abc import Mapping, Sequence

from ...errors import InputError
from ...model.weightbits import WeightBits
from ...perf.builtdecoder import BuiltDecoderSpec
from ...perf.decodercycles import counted_run
from ...perf.design import SpatialDesign
from ...perf.device import Device
from ...perf.estimate import Estimate
from ...perf.memorytiming import MemoryTiming
from ...perf.plan import DECODER_TILES, FAMILY, decoder
from .text import duration, number
from .timeline import Span, Timeline, timeline
from .watched import LOAD, WatchedRun

__all__ = ["built_decoder", "built_timelines"]

BUILT = "gpt2"
"""The family of the decoders that are built."""

UNITS = (
    "embedding", "norm1", "qkv", "scores", "softmax", "sums", "projection", "norm2", "ffn1", "activation", "ffn2",
    "head",
)  # fmt: skip
"""A decoder's units in the order of the data, but for what only hands tiles on: its share is in the table."""

LOADED = ("parameters", "qkv", "projection", "ffn1", "ffn2", "head", "keys", "values")
"""What comes from off-chip memory."""

FIRST, TILES = 2, 64
"""Layers of a prompt that are shown tile by tile; of so many tiles or more, these tiles of the first layer."""


def built_decoder(found: Estimate, device: Device, tile: int | None) -> BuiltDecoderSpec:
    """The decoder that `emit` writes for an estimate's prompt and output together, with tiles as they were asked for.

    Raises:
        InputError: where there is none, with the reason.
    """
    network = found.network
    if network.family != BUILT:
        raise InputError(f"decoders of the family {network.family} are not built so far")
    if device.family != FAMILY:
        raise InputError(f"decoders are built for devices of the family {FAMILY}, not {device.family}")
    if found.sequences > 1:
        raise InputError(f"a decoder that is built has one sequence at a time, not {found.sequences}")
    tiles = DECODER_TILES if tile is None else (tile,)
    bits = WeightBits.of(found.design.weight_bits)
    return decoder(network, device, tiles, found.prompt + found.output, bits)


def built_timelines(found: Estimate, spec: BuiltDecoderSpec, device: Device) -> tuple[Timeline, ...]:
    """The pictures of a prompt, of its first layers tile by tile, and of a token in the middle of the output and a
    layer of it, with the memory of the device."""
    timing = MemoryTiming.of_device(device)
    prompt = counted_run(WatchedRun, spec, found.prompt, 0, timing)
    shown = _prompt(prompt, _told(prompt, device, found.design.kind, found.first_token.seconds))
    if found.token is None:
        return shown
    token = counted_run(WatchedRun, spec, 1, found.prompt + found.output // 2, timing)
    return (*shown, *_token(token, _told(token, device, found.design.kind, found.token.seconds)))


def _told(run: WatchedRun, device: Device, kind: str, estimated: float) -> str:
    """What a run is, how long it takes, and how that was found, beside what was ``estimated`` of a design."""
    spec, seconds = run.spec, run.ended / (device.clock_mhz * 1e6)
    place = "on chip" if spec.cache_on_chip else f"off chip, by {spec.cache_channels} of the ports each"
    own = kind == SpatialDesign.kind
    other = "the estimate above is" if own else f"the design above is another, a {kind} one, which is estimated at"
    return (
        f"Of the decoder that emit writes for {spec.max_length} tokens: tiles of {spec.rows}, keys and values {place}. "
        f"Counted, as describe does: {number(run.ended)} cycles, {duration(seconds)}; {other} {duration(estimated)}."
    )


def _prompt(run: WatchedRun, told: str) -> tuple[Timeline, ...]:
    spans, by_tile, layers = run.spans(), run.spans(tiles=True), run.spec.max_layers
    first = max(1, min(FIRST, layers - 1))
    shown, count = first * run.tiles, "The first layer" if first == 1 else f"The first {first} layers"
    if run.tiles >= TILES:
        shown, count = TILES, f"The first {TILES} tiles"
    end = max(one.end for name in UNITS if name != "head" for one in by_tile[name] if one.turn < shown)
    return (
        timeline(
            "The prompt",
            f"{told} Layers alternate in colour. A mark of the head is as high as the share of all arrays that work on "
            "it, one of a load as that of the channels' bandwidth.",
            0, run.ended, spans, _drawn(spans), exact=True,
        ),
        timeline(
            f"{count} of the prompt",
            "Tiles alternate in colour, of loads layers do.",
            0, end, by_tile, _drawn(spans), exact=True,
        ),
    )  # fmt: skip


def _token(run: WatchedRun, told: str) -> tuple[Timeline, ...]:
    spans, layers, middle = run.spans(), run.spec.max_layers, run.spec.max_layers // 2
    own = [one for name in UNITS for one in spans[name] if one.turn == middle]
    ahead = "Weights are loaded as far ahead as RAMs have room."
    if run.loads:
        ahead += " Keys and values of the first layers come while the head works on the token before."
    return (
        timeline(
            f"A token behind {number(run.position)} others",
            f"{told} All arrays compute each product together: its mark is as high as the share of them that does, one "
            f"of a load as that of the channels' bandwidth. {ahead}",
            0, run.ended, spans, _drawn(spans), exact=True,
        ),
        timeline(
            f"Layer {middle + 1} of {layers} of the token",
            "The other colour is the layer before or behind.",
            min(one.start for one in own), max(one.end for one in own), spans, _drawn(spans), exact=True,
        ),
    )  # fmt: skip


def _drawn(spans: Mapping[str, Sequence[Span]]) -> list[str]:
    """The rows, from the first unit to the last load."""
    return [name for name in (*UNITS, *(LOAD + name for name in LOADED)) if name in spans]
