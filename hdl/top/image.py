"""The memory image: a quantised model laid out as the memory channels deliver it, a layer after the other.

Weights: for every unit and channel the beats of `LinearSpec.pack`. Parameters: for every layer the 64-bit words of
the blocks of `PipelineSpec.parameters`, one after the other, eight a beat, filled up to a whole beat.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.quantised import QuantisedGraph
from ..perf.geometry.parameter_blocks import PARAMETER_WORDS_A_BEAT, ParameterBlock, padded
from ..perf.geometry.pipeline_spec import LINEAR_UNITS, PipelineSpec

__all__ = ["MemoryImage", "beats_of", "build_image", "parameter_words"]


@dataclass(frozen=True)
class MemoryImage:
    """Beats of 64 bytes: ``weights[unit]`` uint8 [channels, layers * beats, 64], ``parameters`` uint8 [layers *
    beats, 64]."""

    weights: dict[str, np.ndarray]
    parameters: np.ndarray

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.parameters.nbytes + sum(weights.nbytes for weights in self.weights.values())

    def streams(self) -> dict[str, np.ndarray]:
        """The beats by the pipeline's stream, uint32 [n, 16]."""
        streams = {"parameters": self.parameters.view("<u4")}
        for unit, channels in self.weights.items():
            streams |= {f"weights_{unit}__{i}": beats.view("<u4") for i, beats in enumerate(channels)}
        return streams


def parameter_words(find: Callable[[str], np.ndarray], blocks: Sequence[ParameterBlock], width: int) -> np.ndarray:
    """The words of the blocks, which ``find`` has by name, uint64 [words]; each begins with a whole ``width`` of words.

    Raises:
        ValueError: where a block has not the words that the pipeline expects.
    """
    found = []
    for block in blocks:
        words = find(block.name)
        if words.shape != (block.words,):
            raise ValueError(f"parameters {block.name} must be {block.words} words, not {words.shape}")
        found.append(np.pad(words, (0, padded(block, width) - block.words)))
    return np.concatenate(found)


def beats_of(words: np.ndarray) -> np.ndarray:
    """64-bit words as beats, uint8 [beats, 64], the last filled up with zeros."""
    filled = np.pad(words, (0, -len(words) % PARAMETER_WORDS_A_BEAT)).astype("<u8")
    return filled.view(np.uint8).reshape(-1, 8 * PARAMETER_WORDS_A_BEAT)


def build_image(layers: Sequence[QuantisedGraph], spec: PipelineSpec) -> MemoryImage:
    """The image of a model's layers for a pipeline."""
    weights = {}
    for name in LINEAR_UNITS:
        unit = spec.linear(name)
        weights[name] = np.concatenate([unit.pack(layer.weights[name]) for layer in layers], axis=1)
    parameters = [beats_of(parameter_words(layer.block, spec.parameters, spec.parameter_width)) for layer in layers]
    return MemoryImage(weights, np.concatenate(parameters))
