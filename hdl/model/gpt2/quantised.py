"""A quantised decoder: integers exactly as the hardware takes them, and the units in which the host reads others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...fixed import saturate
from ...kernels.normparameters import NormParameters
from ...kernels.parameters import ChannelParameters
from ..floating import check_tokens
from ..quantised import QuantisedLayer, load_quantised, save_quantised
from ..spec import Gpt2Spec
from ..weightbits import WeightBits

__all__ = ["QuantisedGpt2"]

FACTORS = "factors."
"""In front of their names in a file."""


@dataclass(frozen=True, kw_only=True)
class QuantisedGpt2:
    """A quantised decoder.

    ``word`` int16 [vocabulary, hidden] and ``position`` int16 [positions, hidden]: the tables, in the unit of the first
    layer's residual stream; the device adds them with saturation. ``layers``: as an encoder's, but ``norm1`` is in
    front of the units ``qkv`` and ``norm2`` in front of ``ffn1``, and of ``residual1`` and ``residual2`` the shifts are
    the same for all features: by so many places the stream's unit grows there.

    ``norm``: channel words [hidden] and epsilon of the last LayerNorm. ``head_weight`` int8 [vocabulary, hidden] and
    ``head`` [vocabulary] words of the head, to int16 logits; ``head_limit`` of its row quantiser, 0 for each row's own
    maximum.

    ``group_factors``: of weights of 4 bits, uint8 [outputs, groups] by layer and unit, as ``0.qkv``, and ``head``: the
    weights are multiples of these (`groups`). Those that have none here have 8 bits.

    ``stream_units`` [2 layers + 1]: the real value of a unit of the residual stream as it enters each layer's first
    half, its second, ..., and at last leaves the last layer; ``norm_units`` [hidden]: of the last LayerNorm's results;
    ``logit_unit``: of a logit. ``source``: where the weights come from, in a few words.
    """

    spec: Gpt2Spec
    word: np.ndarray
    position: np.ndarray
    layers: tuple[QuantisedLayer, ...]
    norm: NormParameters
    head_weight: np.ndarray
    head: ChannelParameters
    head_limit: int
    group_factors: Mapping[str, np.ndarray]
    stream_units: np.ndarray
    norm_units: np.ndarray
    logit_unit: float
    source: str

    @property
    def weight_bits(self) -> WeightBits:
        """Bits of the weights: 4 where they have factors."""
        return WeightBits.packing({name.rpartition(".")[-1] for name in self.group_factors})

    def embed(self, token_ids: Sequence[int], start: int = 0) -> np.ndarray:
        """The first layer's input, int16 [tokens, hidden], for tokens from position ``start`` on.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        ids = check_tokens(token_ids, self.spec, start)
        total = self.word[ids].astype(np.int64) + self.position[start : start + len(ids)]
        return saturate(total, 16).astype(np.int16)

    def save(self, path: Path) -> None:
        """Writes everything to a file, which appears when it is complete."""
        others = {
            "word": self.word,
            "position": self.position,
            "norm": self.norm.words(),
            "head_weight": self.head_weight,
            "head": self.head.words(),
            "head_limit": np.array([self.head_limit], dtype=np.int32),
            "stream_units": self.stream_units,
            "norm_units": self.norm_units,
            "logit_unit": np.array([self.logit_unit]),
        }
        others |= {f"{FACTORS}{name}": factors for name, factors in self.group_factors.items()}
        save_quantised(path, self.spec, self.layers, others, self.source)

    @classmethod
    def load(cls, path: Path) -> "QuantisedGpt2":
        """What `save` wrote.

        Raises:
            InputError: for a file that is none of ours, of another family or version, or damaged.
        """
        spec, layers, tensors, metadata = load_quantised(path, Gpt2Spec)
        return cls(
            spec=spec,
            word=tensors["word"],
            position=tensors["position"],
            layers=layers,
            norm=NormParameters.from_words(tensors["norm"]),
            head_weight=tensors["head_weight"],
            head=ChannelParameters.from_words(tensors["head"]),
            head_limit=int(tensors["head_limit"][0]),
            group_factors={name.removeprefix(FACTORS): tensors[name] for name in tensors if name.startswith(FACTORS)},
            stream_units=tensors["stream_units"],
            norm_units=tensors["norm_units"],
            logit_unit=float(tensors["logit_unit"][0]),
            source=metadata["source"],
        )
