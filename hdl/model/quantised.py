"""A quantised network: integers exactly as the hardware takes them, and what the host needs around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..fixed import saturate
from ..kernels.activation import ActivationSpec
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from .architecture import Graph
from .floating import check_tokens, close, embedded
from .network import Network
from .pooling import MEAN, Pooling
from .weightbits import W8, WeightBits
from .weights import Parameters

__all__ = ["Quantised", "QuantisedGraph"]


@dataclass(frozen=True, kw_only=True)
class QuantisedGraph:
    """The integers of a graph's operators, by name.

    ``weights`` int8 [outputs, inputs] of the linear operators, and ``limits`` of the row quantisers before them: what
    these take for a row's largest value, or 0 where they find it out. ``channels``: the words of the linear operators
    [outputs]; of attention, under its name, those of its sums [features] and, under ``scores``, of its softmax [heads];
    of residual additions [features], of which only the shifts count: places by which the skipped values are rounded off
    before the branch is added; of rotary positions [heads], of which the shifts count, and of gates [1], of which the
    shift counts and the zero point, as a bias. ``norms``: words of the norms [features], and epsilon. ``tables``: base
    and delta [entries, 2]. ``scales``: the scale of each tensor, [features] or a single one: the real value of the last
    place.
    """

    weights: Mapping[str, np.ndarray]
    limits: Mapping[str, int]
    channels: Mapping[str, ChannelParameters]
    norms: Mapping[str, NormParameters]
    tables: Mapping[str, np.ndarray]
    scales: Mapping[str, np.ndarray]

    def block(self, name: str) -> np.ndarray:
        """A block of parameters, uint64 words: ``limit_LINEAR``, ``epsilon_NORM``, or the name of an operator (or
        ``scores``)."""
        kind, _, operator = name.partition("_")
        if kind == "limit":
            return np.array([self.limits[operator]], dtype=np.uint64)
        if kind == "epsilon":
            return self.norms[operator].words()[:1]
        if name in self.tables:
            return _table_spec().pack(self.tables[name])
        return self.norms[name].words()[1:] if name in self.norms else self.channels[name].words()


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A quantised network.

    ``layers``, and ``head`` where the network has one. ``tables`` by name: with a head int16 [rows, hidden], in the
    scale of the first layer's input, which the device adds with saturation; without one float32, for the host, as are
    the parameters of the graphs ``embedding`` and ``closing``.

    ``group_factors``: of weights of ``packed_bits``, 4 or 5, uint8 [outputs, groups] by layer and operator, as
    ``0.qkv``, and ``head``: the weights are multiples of these (`groups`). Those that have none here have 8 bits.
    ``source``: where the weights come from, in a few words. ``pooling``: how the host makes a text's embedding of the
    last layer's output.
    """

    network: Network
    tables: Mapping[str, np.ndarray]
    embedding: Parameters
    closing: Parameters
    layers: tuple[QuantisedGraph, ...]
    head: QuantisedGraph | None
    group_factors: Mapping[str, np.ndarray]
    source: str
    pooling: Pooling = MEAN
    packed_bits: int = 4

    @property
    def stages(self) -> list[tuple[Graph, QuantisedGraph]]:
        """The graphs that the device computes with their integers: of the layers, then of the head if there is one."""
        layers = [(self.network.layer, layer) for layer in self.layers]
        return layers + ([(self.network.head, self.head)] if self.network.head and self.head else [])

    @property
    def weight_bits(self) -> WeightBits:
        """Bits of the weights: ``packed_bits`` where they have factors."""
        packed = {name.rpartition(".")[-1] for name in self.group_factors}
        return WeightBits(self.packed_bits, frozenset(self.network.products) - packed) if packed else W8

    @property
    def logit_scale(self) -> float:
        """The scale of a logit."""
        graph, integers = self.stages[-1]
        return float(integers.scales[graph.output])

    def embed(self, token_ids: Any, start: int = 0) -> np.ndarray:
        """The first layer's input, int16 [tokens, hidden], for tokens from position ``start`` on.

        Raises:
            InputError: for no tokens, ids outside the vocabulary, and more in all than the model has positions for.
        """
        if self.head is None:
            return self.integers(embedded(token_ids, self.network, self.tables, self.embedding, start))
        ids = check_tokens(token_ids, self.network, start)
        total = self.tables["word"][ids].astype(np.int64)
        if "position" in self.tables:
            total = total + self.tables["position"][start : start + len(ids)]
        return saturate(total, 16).astype(np.int16)

    def integers(self, features: np.ndarray) -> np.ndarray:
        """The first layer's input, int16 [tokens, hidden], for real features."""
        scales = self.layers[0].scales[self.network.layer.input]
        return saturate(np.rint(features / scales), 16).astype(np.int16)

    def real(self, features: np.ndarray, layer: int | None = None) -> np.ndarray:
        """The real values of int16 features [tokens, hidden]: the input of ``layer``, or the last layer's output."""
        graph = self.network.layer
        own = self.layers[-1].scales[graph.output] if layer is None else self.layers[layer].scales[graph.input]
        return features * own

    def pool(self, outputs: np.ndarray) -> np.ndarray:
        """A text's embedding [hidden], of the last layer's output [tokens, hidden]: the host's last share."""
        return self.pooling.of(close(self.real(outputs), self.closing, self.network))


@cache
def _table_spec() -> ActivationSpec:
    return ActivationSpec(rows=1, lanes=1, features=1, max_tiles=1)
