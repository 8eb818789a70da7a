"""The memory image of a quantised decoder: what lies in each of its channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...channel import BEAT_BYTES
from ...kernels.linear import LinearSpec
from ...model.gpt2.quantised import QuantisedGpt2
from ...model.groups import nibbles
from ...perf.builtdecoder import PRODUCTS, BuiltDecoderSpec
from ...perf.spec import LINEAR_UNITS
from ..image import beats_of, parameter_words

__all__ = ["DecoderImage", "build_decoder_image"]


@dataclass(frozen=True)
class DecoderImage:
    """``channels``: contents by the channel's name, uint8 [beats, 64]: those of `BuiltDecoderSpec.segments`."""

    channels: Mapping[str, np.ndarray]

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(contents.nbytes for contents in self.channels.values())


def build_decoder_image(model: QuantisedGpt2, spec: BuiltDecoderSpec) -> DecoderImage:
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
        parts.append(packed(unit, len(PRODUCTS), "head"))
        for index, contents in enumerate(np.concatenate(parts, axis=1)):
            channels[f"weights_{name}__{index}"] = np.ascontiguousarray(contents)
    width = spec.parameter_width
    parameters = [beats_of(parameter_words(layer.block, spec.parameters, width)) for layer in model.layers]
    final = _final_blocks(model, spec)
    parameters.append(beats_of(parameter_words(final.__getitem__, spec.final_parameters, width)))
    first = np.concatenate(parameters)
    room = np.zeros((spec.embedding_base - len(first), BEAT_BYTES), dtype=np.uint8)
    tables = spec.embedding.pack(model.word, model.position[: spec.positions])
    channels["parameters"] = np.concatenate([first, room, tables])
    return DecoderImage(channels)


def _weights(
    model: QuantisedGpt2, spec: BuiltDecoderSpec, product: str, layer: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A product's weights as memory has them, and of 4 bits their factors; the head's rows that there are not are 0."""
    if layer is None:
        weight, key = model.head_weight, product
    else:
        weight, key = model.layers[layer].weights(product), f"{layer}.{product}"
    rows = ((0, spec.products[product].outputs - len(weight)), (0, 0))
    if spec.products[product].bits == 8:
        return np.pad(weight, rows), None
    factors = model.group_factors[key]
    return np.pad(nibbles(weight, factors), rows), np.pad(factors, rows, constant_values=1)


def _final_blocks(model: QuantisedGpt2, spec: BuiltDecoderSpec) -> dict[str, np.ndarray]:
    """The parameters behind the last layer, uint64 words by block; those of features that there are not are 0."""
    head = np.pad(model.head.words(), (0, spec.products["head"].outputs - spec.vocabulary))
    return {
        "epsilon_norm": model.norm.words()[:1],
        "norm": model.norm.words()[1:],
        "limit_head": np.array([model.head_limit], dtype=np.uint64),
        "head": head,
    }
