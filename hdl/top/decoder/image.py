"""The memory image of a quantised decoder: what lies in each of its channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...model.gpt2.quantised import QuantisedGpt2
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
    """
    channels: dict[str, np.ndarray] = {}
    for name in LINEAR_UNITS:
        unit, shared = spec.linear(name), []
        own = [unit.pack(layer.weights(name)) for layer in model.layers]
        for layer in model.layers:
            shared += [unit.pack(layer.weights(product), 1 + i) for i, product in enumerate(LINEAR_UNITS)]
        padding = spec.products["head"].outputs - spec.vocabulary
        shared.append(unit.pack(np.pad(model.head_weight, ((0, padding), (0, 0))), len(PRODUCTS)))
        for index, contents in enumerate(np.concatenate([*own, *shared], axis=1)):
            channels[f"weights_{name}__{index}"] = np.ascontiguousarray(contents)
    width = spec.parameter_width
    parameters = [beats_of(parameter_words(layer.block, spec.parameters, width)) for layer in model.layers]
    final = _final_blocks(model, spec)
    parameters.append(beats_of(parameter_words(final.__getitem__, spec.final_parameters, width)))
    channels["parameters"] = np.concatenate(parameters)
    channels["embedding"] = spec.embedding.pack(model.word, model.position[: spec.max_length])
    return DecoderImage(channels)


def _final_blocks(model: QuantisedGpt2, spec: BuiltDecoderSpec) -> dict[str, np.ndarray]:
    """The parameters behind the last layer, uint64 words by block; those of features that there are not are 0."""
    head = np.pad(model.head.words(), (0, spec.products["head"].outputs - spec.vocabulary))
    return {"norm": model.norm.words(), "limit_head": np.array([model.head_limit], dtype=np.uint64), "head": head}
