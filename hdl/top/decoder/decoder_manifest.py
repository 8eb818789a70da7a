"""The parts of the manifest that are special to a decoder: its memory layout, and the cycles of prompts and tokens."""

from typing import Any

from ...perf.device import Device
from ...perf.geometry.decoder_spec import DecoderSpec
from ...perf.geometry.pipeline_spec import LINEAR_UNITS
from ...perf.memory_timing import MemoryTiming
from ...perf.schedule.decoder_schedule import counted_decoder_cycles
from ...perf.workload import Workload
from ..manifest import WEIGHT_ORDER, blocks

__all__ = ["decoder_cycles", "decoder_memory"]

EMBEDDING_ORDER = (
    "The rows of the word table, then the rows of the position table. A row holds the int16 features of a token or a"
    " position, in whole beats."
)

SHARED_ORDER = (
    "A channel holds first the weights for prompts: the unit's own product, layer by layer. Then it holds the weights"
    " for tokens: layer by layer all products of a layer in the order of this list, and the head at the end. In every"
    " stride outputs of a token product, the unit holds the outputs first to first + columns - 1. The weights of an"
    " output that does not exist are 0."
)

CACHE_ORDER = (
    "A beat is a block of 8 tokens x 8 features of one head. Byte 8 * token + feature holds the int8 value. Features"
    " count over all heads. With C channels, channel c of the keys holds the token blocks c, c + C, c + 2C, ... with"
    " all feature blocks. Channel c of the values holds all token blocks with the feature blocks c, c + C, c + 2C, ..."
    " In a channel the beats follow each other by layer, then by token block, then by feature block."
)

LENGTHS = (32, 128, 512)


def decoder_memory(spec: DecoderSpec) -> dict[str, Any]:
    """The contents of each channel in beats of 64 bytes; the segments [address, beats] of prompts and tokens."""
    units = {}
    for name in LINEAR_UNITS:
        unit = spec.linear(name)
        prompt, token = spec.segments(name)
        units[name] = {
            "channels": unit.channels,
            "prompt": [list(segment) for segment in prompt],
            "token": [list(segment) for segment in token],
            "columns": unit.columns,
            "cascades": unit.cascades,
            "rams": unit.channel_rams,
            "block": unit.loader.block,
            "block_beats": unit.loader.block_beats,
            "feature": [unit.array.feature(column) for column in range(unit.columns)],
            "products": [
                {"name": product, "inputs": share.inputs, "outputs": share.outputs, "first": share.first,
                 "stride": share.stride, "beats": unit.product_beats(number), "bits": share.bits}
                for number, (product, share) in enumerate(zip((name, *spec.products), unit.shares, strict=True))
            ],
        }  # fmt: skip
    embedding, width = spec.embedding, spec.parameter_width
    return {
        "weights": {"order": WEIGHT_ORDER, "products": SHARED_ORDER, "units": units},
        "parameters": {
            "word_bits": 64,
            "beats_a_layer": spec.parameter_beats,
            "blocks": blocks(spec.parameters, width),
            "beats_after_the_last_layer": spec.final_beats,
            "blocks_after_the_last_layer": blocks(spec.final_parameters, width),
        },
        "embedding": {
            "order": EMBEDDING_ORDER, "channel": "parameters", "first_beat": spec.embedding_base,
            "beats": embedding.beats, "row_beats": embedding.row_beats,
            "words": embedding.vocabulary, "positions": embedding.positions,
        },
    } | ({"cache": cache(spec)} if spec.memories else {})  # fmt: skip


def cache(spec: DecoderSpec) -> dict[str, Any]:
    """The layout of keys and values that lie off chip, in beats. The host need not initialise them."""
    units = {
        name: {
            "streams": [f"{name}__{index}" for index in range(memory.channels)],
            "beats": memory.beats,
            "beats_a_layer": memory.layer_beats,
            "beats_a_block_of_tokens": memory.block_beats,
            "blocks_of_tokens": memory.blocks,
        }
        for name, memory in spec.memories.items()
    }
    return {"order": CACHE_ORDER, "units": units}


def decoder_cycles(spec: DecoderSpec, device: Device, workload: Workload | None = None) -> list[dict[str, Any]]:
    """Cycles for some lengths, the longest last: of a prompt, and of the last token of a text of that length. With a
    ``workload``, its prompt and the token in the middle of its output are among them.

    The timing is that of the device's memory. A run is counted as if the refreshes of its channels began with it.
    """
    timing, found = MemoryTiming.of_device(device), []
    own = {workload.prompt, workload.prompt + workload.output // 2 + 1} if workload is not None else set()
    for tokens in sorted({*(length for length in {*LENGTHS, *own} if length < spec.positions), spec.positions}):
        prompt = counted_decoder_cycles(spec, tokens, 0, timing)
        token = counted_decoder_cycles(spec, 1, tokens - 1, timing)
        found.append(
            {
                "tokens": tokens,
                "prompt_estimate": prompt,
                "prompt_estimate_ms": round(prompt / device.clock_mhz / 1000, 4),
                "token_estimate": token,
                "token_estimate_ms": round(token / device.clock_mhz / 1000, 4),
            }
        )
    return found
