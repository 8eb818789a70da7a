"""The memory image: a quantised model as it lies in the memory channels of a pipeline, in beats of 64 bytes.

A channel of weights has the share of each layer's own product that its RAMs hold (`LinearSpec.pack`), layer by layer.
Where all arrays share products, its shares of these follow, layer by layer, and those of the head at the end. The
channel of parameters has the blocks of each layer, then those of the head and the tables of the embedding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..channel import BEAT_BYTES
from ..kernels.linear import LinearSpec
from ..model.groups import nibbles
from ..model.quantised import Quantised, QuantisedGraph
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.parameter_blocks import PARAMETER_WORDS_A_BEAT, ParameterBlock, padded
from ..perf.geometry.pipeline_spec import PipelineSpec

__all__ = ["MemoryImage", "beats_of", "build_image", "image_parts", "parameter_words"]


@dataclass(frozen=True)
class MemoryImage:
    """``channels``: the contents of each channel by its name, ``parameters`` or ``weights_UNIT__INDEX``, uint8
    [beats, 64]."""

    channels: Mapping[str, np.ndarray]

    def streams(self) -> dict[str, np.ndarray]:
        """The beats of each channel, uint32 [beats, 16]."""
        return {name: contents.view("<u4") for name, contents in self.channels.items()}


def build_image(model: Quantised, spec: PipelineSpec) -> MemoryImage:
    """The image of a model, or of its first layers, for a pipeline.

    Raises:
        ValueError: for a model whose weights have other bits than the pipeline's.
    """
    channels = {
        name if name == "parameters" else f"weights_{name}__{index}": np.ascontiguousarray(contents)
        for name, part in image_parts(model, spec)
        for index, contents in enumerate(part)
    }
    return MemoryImage(channels)


def image_parts(model: Quantised, spec: PipelineSpec) -> Iterator[tuple[str, np.ndarray]]:
    """The image part by part: ``parameters``, then the unit of each product; uint8 [channels, beats, 64].

    Raises:
        ValueError: as `build_image`.
    """
    if model.weight_bits != spec.weight_bits:
        raise ValueError(f"model's weights must have the pipeline's {spec.weight_bits}, not {model.weight_bits}")
    yield "parameters", parameter_channel(model, spec)[np.newaxis]
    for name in spec.products:
        yield name, unit_weights(model, spec, name)


def parameter_channel(model: Quantised, spec: PipelineSpec) -> np.ndarray:
    """The channel of the parameters, uint8 [beats, 64]."""
    words = [
        parameter_words(graph.block, section.parameters, spec.parameter_width)
        for name, section in spec.sections.items()
        for graph in graphs(model)[name].values()
    ]
    parameters = np.concatenate([beats_of(one) for one in words])
    if isinstance(spec, DecoderSpec):
        room = np.zeros((spec.embedding_base - len(parameters), BEAT_BYTES), dtype=np.uint8)
        tables = spec.embedding.pack(model.tables["word"], model.tables["position"][: spec.positions])
        parameters = np.concatenate([parameters, room, tables])
    return parameters


def graphs(model: Quantised) -> dict[str, dict[str, QuantisedGraph]]:
    """The graphs of a model by section; by what precedes the names of their operators in `Quantised.group_factors`."""
    head = {} if model.head is None else {"": model.head}
    return {"layer": {f"{number}.": layer for number, layer in enumerate(model.layers)}, "head": head}


def unit_weights(model: Quantised, spec: PipelineSpec, name: str) -> np.ndarray:
    """The weights in the channels of a linear unit, uint8 [channels, beats, 64]."""
    unit, every = spec.linear(name), graphs(model)
    own, *shared = enumerate(spec.held_products(name))
    groups = [("layer", [own]), *((section, [one for one in shared if one[1][0] == section]) for section in every)]
    parts = [
        pack(unit, number, graph.weights[product], model.group_factors.get(prefix + product))
        for section, group in groups
        for prefix, graph in every[section].items()
        for number, (_, product) in group
    ]
    return np.concatenate(parts, axis=1)


def pack(unit: LinearSpec, number: int, weights: np.ndarray, factors: np.ndarray | None) -> np.ndarray:
    """The weights of a product in the channels of a unit; ``factors`` for those of 4 bits. Outputs that only fill up a
    beat have the weight 0."""
    missing = ((0, unit.shares[number].outputs - len(weights)), (0, 0))
    if factors is None:
        return unit.pack(np.pad(weights, missing), number)
    padded_factors = np.pad(factors, missing, constant_values=1)
    return unit.pack(np.pad(nibbles(weights, factors), missing), number, padded_factors)


def parameter_words(find: Callable[[str], np.ndarray], blocks: Sequence[ParameterBlock], width: int) -> np.ndarray:
    """The words of the blocks, which ``find`` has by name, uint64 [words]; each begins with a whole ``width`` of words.
    Words that are missing to a whole beat of the block are 0.

    Raises:
        ValueError: where a block does not have the words that the pipeline expects.
    """
    found = []
    for block in blocks:
        words = find(block.name)
        if words.ndim != 1 or not 0 <= block.words - len(words) < block.lanes:
            raise ValueError(f"parameters {block.name} must be {block.words} words, not {words.shape}")
        found.append(np.pad(words, (0, padded(block, width) - len(words))))
    return np.concatenate(found)


def beats_of(words: np.ndarray) -> np.ndarray:
    """64-bit words as beats, uint8 [beats, 64], the last filled up with zeros."""
    filled = np.pad(words, (0, -len(words) % PARAMETER_WORDS_A_BEAT)).astype("<u8")
    return filled.view(np.uint8).reshape(-1, 8 * PARAMETER_WORDS_A_BEAT)
