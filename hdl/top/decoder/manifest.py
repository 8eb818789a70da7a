"""What the manifest tells of a decoder: what lies in its memory, and the cycles of a prompt and of a token."""

from typing import Any

from ...perf.builtdecoder import PRODUCTS, BuiltDecoderSpec
from ...perf.decodercycles import decoder_cycles as run_cycles
from ...perf.device import Device
from ...perf.memorytiming import MemoryTiming
from ...perf.spec import LINEAR_UNITS
from ..manifest import WEIGHT_ORDER, blocks

__all__ = ["decoder_cycles", "decoder_memory"]

EMBEDDING_ORDER = "rows of the words' table, then of the positions': each of the hidden int16 features, in whole beats"

SHARED_ORDER = (
    "first the unit's own product, layer by layer; then, layer by layer, all products of a layer in this order, and at"
    " the end the head: of these the unit has the rows first .. first + columns of every stride rows; rows that there"
    " are not are 0"
)

CACHE_ORDER = (
    "a beat is 8 tokens x 8 features of a head, int8, a token's features one after the other; a channel has layer / 8"
    " tokens / head / 8 features: of keys every so many-th 8 tokens, of values every so many-th 8 features, as there"
    " are channels, beginning with its own number"
)

LENGTHS = (32, 128, 512)


def decoder_memory(spec: BuiltDecoderSpec) -> dict[str, Any]:
    """What lies in each channel, in beats of 64 bytes, and which segments a prompt and a token read of it."""
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
                for number, (product, share) in enumerate(zip((name, *PRODUCTS), unit.shares, strict=True))
            ],
        }  # fmt: skip
    embedding, width = spec.embedding, spec.parameter_width
    return {
        "weights": {"order": WEIGHT_ORDER, "products": SHARED_ORDER, "units": units},
        "parameters": {
            "word_bits": 64,
            "beats_a_layer": spec.parameter_beats,
            "blocks": blocks(spec.parameters, width),
            "beats_behind_the_last_layer": spec.final_beats,
            "blocks_behind_the_last_layer": blocks(spec.final_parameters, width),
        },
        "embedding": {
            "order": EMBEDDING_ORDER, "channel": "parameters", "first_beat": spec.embedding_base,
            "beats": embedding.beats, "row_beats": embedding.row_beats,
            "words": embedding.vocabulary, "positions": embedding.positions,
        },
    } | ({"cache": cache(spec)} if spec.memories else {})  # fmt: skip


def cache(spec: BuiltDecoderSpec) -> dict[str, Any]:
    """Where keys and values lie that are off chip, in beats; they need no contents at the beginning."""
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


def decoder_cycles(spec: BuiltDecoderSpec, device: Device) -> list[dict[str, Any]]:
    """For some lengths, the longest last: cycles of a prompt, and of a token behind so many: those of the
    hardware with the device's memory, but for where in its refreshes a channel is when a run begins."""
    timing, found = MemoryTiming.of_device(device), []
    for tokens in (*(length for length in LENGTHS if length < spec.max_length), spec.max_length):
        prompt, token = run_cycles(spec, tokens, 0, timing), run_cycles(spec, 1, tokens - 1, timing)
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
