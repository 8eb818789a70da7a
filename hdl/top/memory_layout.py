"""What the manifest says of the memory: the contents of each channel, in beats of 64 bytes."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..channel import BEAT_BYTES
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.parameter_blocks import ParameterBlock, padded
from ..perf.geometry.pipeline_spec import PipelineSpec

__all__ = ["memory_layout"]

WEIGHT_ORDER = (
    "A channel holds first the weights of the first product of the list, layer by layer. The other products are those"
    " that all units share for tokens: layer by layer all products of a layer in the order of the list, and the head at"
    " the end. In every stride outputs of a product, the unit holds the outputs first to first + columns - 1."
    " The weights of a product come in blocks of block_beats beats. A block holds block words of 64 bits for each RAM"
    " of its channel. Words count from the lowest bits of the first beat. Word n of block i, for n < block * rams, is"
    " word i * block + n // rams of RAM n % rams of the channel; the words after these are padding. RAM r of channel c"
    " is RAM c * rams + r of the unit, which is RAM column * cascades + cascade. Word pass * words + w of that RAM"
    " holds in byte k the int8 weight of output pass * stride + first + feature[column] and input (w * cascades +"
    " cascade) * 8 + k. Bytes of a RAM, an input or an output that does not exist are 0."
)

PARAMETER_ORDER = (
    "The blocks of the section layer come for each layer, from a whole beat on; those of the section head come once,"
    " after the last layer. Offsets are in words of 64 bits."
)

EMBEDDING_ORDER = (
    "The rows of the word table, then the rows of the position table. A row holds the int16 features of a token or a"
    " position, in whole beats."
)

CACHE_ORDER = (
    "A beat is a block of 8 tokens x 8 features of one head. Byte 8 * token + feature holds the int8 value. Features"
    " count over all heads. With C channels, channel c of the keys holds the token blocks c, c + C, c + 2C, ... with"
    " all feature blocks. Channel c of the values holds all token blocks with the feature blocks c, c + C, c + 2C, ..."
    " In a channel the beats follow each other by layer, then by token block, then by feature block."
)


def memory_layout(spec: PipelineSpec) -> dict[str, Any]:
    """The layout of the weights of each unit, of the parameters, and of what a decoder keeps in memory besides.

    ``reads``: the segments [address, beats] of each channel that a run reads, by the kind of the run.
    """
    sections = {
        name: {"beats": section.beats, "blocks": blocks(section.parameters, spec.parameter_width)}
        for name, section in spec.sections.items()
    }
    parameters = {"order": PARAMETER_ORDER, "reads": spec.segments("parameters"), "sections": sections}
    units = {name: unit_weights(spec, name) for name in spec.products}
    return {
        "beat_bytes": BEAT_BYTES,
        "weights": {"order": WEIGHT_ORDER, "units": units},
        "parameters": parameters,
        **(embedding(spec) | cache(spec) if isinstance(spec, DecoderSpec) else {}),
    }


def unit_weights(spec: PipelineSpec, name: str) -> dict[str, Any]:
    """The layout of the weights of a linear unit."""
    unit = spec.linear(name)
    products = [
        {"name": product, **asdict(share), "beats": unit.product_beats(number)}
        for number, ((_, product), share) in enumerate(zip(spec.held_products(name), unit.shares, strict=True))
    ]
    return {
        "channels": [f"weights_{name}__{index}" for index in range(unit.channels)],
        "reads": spec.segments(name),
        "columns": unit.columns,
        "cascades": unit.cascades,
        "rams": unit.channel_rams,
        "block": unit.loader.block,
        "block_beats": unit.loader.block_beats,
        "feature": [unit.array.feature(column) for column in range(unit.columns)],
        "products": products,
    }


def embedding(spec: DecoderSpec) -> dict[str, Any]:
    """The layout of the tables of the embedding, in the channel of the parameters."""
    table = spec.embedding
    return {
        "embedding": {
            "order": EMBEDDING_ORDER, "channel": "parameters", "first_beat": spec.embedding_base, "beats": table.beats,
            "row_beats": table.row_beats, "words": table.vocabulary, "positions": table.positions,
        }
    }  # fmt: skip


def cache(spec: DecoderSpec) -> dict[str, Any]:
    """The layout of keys and values that lie off chip, if they do. The host need not initialise them."""
    units = {
        name: {
            "channels": [f"{name}__{index}" for index in range(memory.channels)],
            "beats": memory.beats,
            "beats_a_layer": memory.layer_beats,
            "beats_a_block_of_tokens": memory.block_beats,
            "blocks_of_tokens": memory.blocks,
        }
        for name, memory in spec.memories.items()
    }
    return {"cache": {"order": CACHE_ORDER, "units": units}} if units else {}


def blocks(given: Iterable[ParameterBlock], width: int) -> list[dict[str, Any]]:
    """Parameter blocks with their offsets in 64-bit words; each block begins at a multiple of ``width`` words."""
    found, offset = [], 0
    for block in given:
        found.append({"name": block.name, "offset": offset, "words": block.words})
        offset += padded(block, width)
    return found
