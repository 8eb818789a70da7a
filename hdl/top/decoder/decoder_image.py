"""The memory image of a quantised decoder: what lies in each of its channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...channel import BEAT_BYTES
from ...kernels.linear import LinearSpec
from ...model.groups import nibbles
from ...model.quantised import Quantised
from ...perf.geometry.decoder_spec import DecoderSpec
from ...perf.geometry.pipeline_spec import LINEAR_UNITS
from ..image import beats_of, parameter_words

__all__ = ["DecoderImage", "build_decoder_image"]


@dataclass(frozen=True)
class DecoderImage:
    """``channels``: contents by the channel's name, uint8 [beats, 64]: those of `DecoderSpec.segments`."""

    channels: Mapping[str, np.ndarray]

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(contents.nbytes for contents in self.channels.values())


def build_decoder_image(model: Quantised, spec: DecoderSpec) -> DecoderImage:
    """The image of a model for a decoder.

    A channel of weights holds its share of each layer's own product, for prompts, and then of all products, layer by
    layer and the head at the end, as all arrays share them, for tokens.

    Raises:
        ValueError: for a model whose weights have other bits than the decoder's.
    """
    if model.weight_bits != spec.weight_bits:
        raise ValueError(f"model's weights must have the decoder's {spec.weight_bits}, not {model.weight_bits}")

    def packed(unit: LinearSpec, number: int, product: str, layer: int | None = None) -> np.ndarray:
        weights, factors = _weights(model, spec, product, layer)
        return unit.pack(weights, number, factors)

    channels: dict[str, np.ndarray] = {}
    for name in LINEAR_UNITS:
        unit, layers = spec.linear(name), range(len(model.layers))
        parts = [packed(unit, 0, name, layer) for layer in layers]
        parts += [
            packed(unit, 1 + number, product, layer) for layer in layers for number, product in enumerate(LINEAR_UNITS)
        ]
        parts.append(packed(unit, len(spec.products), "head"))
        for index, contents in enumerate(np.concatenate(parts, axis=1)):
            channels[f"weights_{name}__{index}"] = np.ascontiguousarray(contents)
    width = spec.parameter_width
    parameters = [beats_of(parameter_words(layer.block, spec.parameters, width)) for layer in model.layers]
    parameters.append(beats_of(parameter_words(partial(_final_block, model, spec), spec.final_parameters, width)))
    first = np.concatenate(parameters)
    room = np.zeros((spec.embedding_base - len(first), BEAT_BYTES), dtype=np.uint8)
    tables = spec.embedding.pack(model.tables["word"], model.tables["position"][: spec.positions])
    channels["parameters"] = np.concatenate([first, room, tables])
    return DecoderImage(channels)


def _weights(
    model: Quantised, spec: DecoderSpec, product: str, layer: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A product's weights as memory has them, and of 4 bits their factors; the head's rows that there are not are 0."""
    graph = model.head if layer is None else model.layers[layer]
    assert graph is not None, "a decoder has a head"
    weight, key = graph.weights[product], product if layer is None else f"{layer}.{product}"
    rows = ((0, spec.products[product].outputs - len(weight)), (0, 0))
    if spec.products[product].bits == 8:
        return np.pad(weight, rows), None
    factors = model.group_factors[key]
    return np.pad(nibbles(weight, factors), rows), np.pad(factors, rows, constant_values=1)


def _final_block(model: Quantised, spec: DecoderSpec, name: str) -> np.ndarray:
    """A block of parameters after the last layer, uint64 words; those of outputs that do not exist are 0."""
    assert model.head is not None, "a decoder has a head"
    words = model.head.block(name)
    return np.pad(words, (0, spec.products["head"].outputs - spec.vocabulary)) if name == "head" else words
