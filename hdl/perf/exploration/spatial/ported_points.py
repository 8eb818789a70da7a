"""What memory's ports bring to many spatial points at once: how many they have, and for what."""

from abc import abstractmethod
from functools import cached_property
from math import inf

import numpy as np

from ....channel import BEAT_BYTES
from ....dsp import CASCADE
from ....kernels.linearspec import ram_depth
from ....kernels.weights import CHANNEL_RAMS, beats_a_word, channel_rams
from ...geometry.arrays import products
from ...geometry.formulas import block_divisor, filling, loads
from ...geometry.weight_channels import copy_channels, shared_channels
from ..lookup import looked_up
from ..points import Points
from .spatial_axes import SpatialAxes

__all__ = ["PortedPoints"]


class PortedPoints(Points):
    """Spatial points side by side, as memory sees them; where they are not given, with the ``cache_channels`` that
    serve each best."""

    kind: SpatialAxes

    def __init__(self, kind: SpatialAxes, choices: np.ndarray, cache_channels: np.ndarray | None = None):
        super().__init__(kind, choices)
        self.tables, self.products = kind.tables, products(kind.network.layer)
        if cache_channels is not None:
            self.cache_channels = cache_channels
        self.group, self.layers, self.cache = (
            kind.index(choices, name) for name in ("group", "weight_layers", "cache")
        )
        self.options = self.tables.options
        self.option = {name: self.options[name].start[self.group] + kind.index(choices, name) for name in self.options}
        self.copies = kind.value(choices, "copies")
        self.rows = np.array([group[0] for group in self.tables.groups])[self.group]

    def of(self, name: str, figure: str) -> np.ndarray:
        """A figure of an array's option."""
        return np.asarray(getattr(self.options[name], figure)[self.option[name]])

    @cached_property
    def columns(self) -> np.ndarray:
        """Columns of the linear units, [units, points]."""
        return np.stack([self.of(name, "columns") for name in self.products])

    @cached_property
    def cascades(self) -> np.ndarray:
        """Cascades of the linear units, [units, points]."""
        return np.stack([self.of(name, "cascades") for name in self.products])

    @cached_property
    def off_chip(self) -> np.ndarray:
        """Whether keys and values lie in off-chip memory."""
        return (self.cache == 1) if self.network.causal else np.zeros(len(self.group), dtype=bool)

    @cached_property
    def sequences(self) -> np.ndarray:
        """Sequences in each copy, as `SpatialDesign.flight`."""
        return np.where(self.off_chip, self.rows, 1)

    @cached_property
    def cache_bytes(self) -> np.ndarray:
        """Bytes of keys and values of a token of all layers in off-chip memory."""
        return np.where(self.off_chip, self.network.kv_features * self.network.layers, 0)

    @property
    @abstractmethod
    def token_units(self) -> np.ndarray:
        """Cycles of a token of one sequence in the units, whatever they wait for."""

    @cached_property
    def cache_channels(self) -> np.ndarray:
        """Memory channels of each copy for keys, and as many for values, where they lie off chip: the fewest; but where
        a token's units would wait for those, of all that they may have, what makes a run the fastest."""
        choices = np.array(self.kind.cache_channels)
        found = np.where(self.off_chip, choices[0], 0)
        if self.decodes:
            given = self.sustained(self.device.memory.rate(2 * choices[0] * self.copies))
            here = np.flatnonzero(self.read / given > self.token_units)
            every = np.tile(self.choices[here], (len(choices), 1))
            points = type(self)(self.kind, every, np.repeat(choices, here.size))
            runs = np.where(points.ports <= self.device.memory.ports, points.times[-1], inf)
            found[here] = choices[runs.reshape(len(choices), -1).argmin(axis=0)]
        return found

    @property
    def cache_ports(self) -> np.ndarray:
        """Ports of each copy for keys and values."""
        return 2 * self.cache_channels

    @cached_property
    def channels(self) -> np.ndarray:
        """Memory channels of the linear units, [units, points]."""
        every = np.array(self.kind.channels)[self.kind.index(self.choices, "weight_bits")]
        own = copy_channels(every, self.device, self.copies, self.cache_ports)
        return shared_channels(own, self.columns * self.cascades, self.columns)

    @cached_property
    def ports(self) -> np.ndarray:
        """Memory ports: those of the weights, one of parameters, and those of keys and values that lie in memory."""
        return np.asarray((self.channels.sum(axis=0) + 1 + self.cache_ports) * self.copies)

    @cached_property
    def bandwidth(self) -> np.ndarray:
        """GB/s of memory through the channels of the weights."""
        filling = self.filling if self.network.causal else 1.0
        return np.asarray(self.device.memory.rate(self.channels.sum(axis=0) * self.copies) * filling)

    @cached_property
    def cache_bandwidth(self) -> np.ndarray:
        """GB/s of memory through the ports of keys and values; infinite where they lie on chip."""
        return np.where(self.off_chip, self.device.memory.rate(self.cache_ports * self.copies), inf)

    @cached_property
    def channel_rams(self) -> np.ndarray:
        """RAMs of each channel of the linear units, [units, points]."""
        return np.asarray(channel_rams(self.columns * self.cascades, self.channels))

    @property
    def block_divisor(self) -> np.ndarray:
        """What the words of a block divide, as `DecoderSpec.weight_block` has it."""
        return np.asarray(block_divisor(self.network.hidden, self.network.intermediate, self.cascades))

    @cached_property
    def beats_a_word(self) -> np.ndarray:
        """Beats of a channel that make a word for each of its RAMs, [units, points]."""
        if not self.network.causal:
            return np.asarray(channel_rams(self.channel_rams, CHANNEL_RAMS))
        return looked_up(beats_a_word, self.channel_rams, self.block_divisor, like=1.0)

    @cached_property
    def layer_words(self) -> np.ndarray:
        """Words of a layer in each RAM of the linear units, [units, points]."""
        return np.stack([self.of(name, "layer_words") for name in self.products])

    @cached_property
    def held(self) -> np.ndarray:
        """Words of the linear units' RAMs, [units, points]."""
        return np.asarray(ram_depth(self.layer_words, self.layers + 1))

    @cached_property
    def weight_products(self) -> list[tuple[int, int, int]]:
        """What a token asks of all arrays together: inputs, outputs, and how often; the head last."""
        network = self.network
        own = [(operator.inputs, operator.outputs, network.layers) for operator in network.operators]
        return [*own, (network.hidden, network.vocabulary, 1)]

    @cached_property
    def loads(self) -> tuple[np.ndarray, np.ndarray]:
        """Beats of the slowest unit's channels: a token's, and the head's behind a prompt."""
        columns, depths = self.columns.sum(axis=0), self.cascades * CASCADE
        every, behind = loads(
            self.weight_products, columns=columns, depths=depths, beats_a_word=self.beats_a_word, held=self.held
        )
        return np.asarray(every), np.asarray(behind)

    @cached_property
    def filling(self) -> np.ndarray:
        """As `DecoderSpec.filling`."""
        return np.asarray(filling(self.weight_products, self.channels.sum(axis=0), self.loads[0]))

    @cached_property
    def weights(self) -> np.ndarray:
        """Bytes of all weights and parameters."""
        layer, head = (self.by_bits(count) for count in (self.network.layer_weights, self.network.head_weights))
        return np.asarray(self.network.layers * (layer + BEAT_BYTES * self.tables.beats[self.group]) + head)

    def prefill_bytes(self, length: int) -> np.ndarray:
        """Bytes that a prompt reads: the weights, whatever its length."""
        return self.weights
