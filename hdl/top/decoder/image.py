"""The memory image of a quantised decoder: what lies in each of its channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...model.gpt2.quantised import QuantisedGpt2
from ...perf.decoder import DecoderSpec
from ...perf.spec import LINEAR_UNITS
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


def build_decoder_image(model: QuantisedGpt2, spec: DecoderSpec) -> DecoderImage:
    """The image of a model for a decoder.

    A channel of weights holds its share of each layer's own product, for prompts, and then of all products, layer by
    layer and the head at the end, as all arrays share them, for tokens.
    """
    channels: dict[str, np.ndarray] = {}
    for name in LINEAR_UNITS:
        unit, shared = spec.linear(name), []
        own = [unit.pack(layer.weights(name)) for layer in model.layers]
        for layer in model.layers:
            shared += [unit.pack_shared(product, layer.weights(product)) for product in LINEAR_UNITS]
        shared.append(unit.pack_shared("head", model.head_weight))
        for index, contents in enumerate(np.concatenate([*own, *shared], axis=1)):
            channels[f"weights_{name}__{index}"] = np.ascontiguousarray(contents)
    width = spec.parameter_width
    parameters = [beats_of(parameter_words(layer.block, spec.parameters, width)) for layer in model.layers]
    parameters.append(beats_of(parameter_words(lambda name: _final(model, name), spec.final_parameters, width)))
    channels["parameters"] = np.concatenate(parameters)
    channels["embedding"] = spec.embedding.pack(model.word, model.position)
    return DecoderImage(channels)


def _final(model: QuantisedGpt2, block: str) -> np.ndarray:
    """A block of what follows the last layer, uint64 words."""
    if block == "limit_head":
        return np.array([model.head_limit], dtype=np.uint64)
    return {"norm": model.norm, "head": model.head}[block].words()
