"""The parameters of a layer normalisation: gamma and beta of each feature, and epsilon, which is added to the variance.

The unit of epsilon is the square of the values' last place, which differs between layers and between checkpoints. If
epsilon is large, no value is many deviations from the mean, so the normalised values can have more binary places; see
`RowStatisticsSpec.epsilon`.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import unsigned
from amaranth.lib import data

from .parameters import ChannelParameters

__all__ = ["Epsilon", "EpsilonWord", "NormParameters"]

EpsilonWord = data.StructLayout({"value": unsigned(60), "places": unsigned(4)})
"""A layer's epsilon: 64 bits, first field lowest."""


@dataclass(frozen=True, kw_only=True)
class Epsilon:
    """A layer's epsilon: see `RowStatisticsSpec.epsilon`.

    ``value`` is added to the variance times the square of the features. ``places`` are additional binary places of the
    normalised values.

    Raises:
        ValueError: for a value or places that do not fit the word.
    """

    value: int
    places: int = 0

    def __post_init__(self) -> None:
        for name, least in (("value", 1), ("places", 0)):
            most = (1 << EpsilonWord[name].width) - 1
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"layer norm epsilon {name} must be {least} to {most}, not {getattr(self, name)}")

    def word(self) -> int:
        """The 64-bit word."""
        return self.value | self.places << EpsilonWord["places"].offset

    @classmethod
    def from_word(cls, word: int) -> "Epsilon":
        """The inverse of `word`."""
        offset = EpsilonWord["places"].offset
        return cls(value=word & ((1 << offset) - 1), places=word >> offset)


@dataclass(frozen=True, kw_only=True)
class NormParameters:
    """The parameters of a layer normalisation: ``channels`` [features] and ``epsilon``.

    The factor of a channel is gamma, in units of 1 / `LayerNormSpec.unit`; its bias is beta.
    """

    channels: ChannelParameters
    epsilon: Epsilon

    def words(self) -> np.ndarray:
        """Epsilon's word and the channels', uint64 [1 + features]."""
        return np.append(np.uint64(self.epsilon.word()), self.channels.words())

    @classmethod
    def from_words(cls, words: np.ndarray) -> "NormParameters":
        """The inverse of `words`."""
        return cls(epsilon=Epsilon.from_word(int(words[0])), channels=ChannelParameters.from_words(words[1:]))
