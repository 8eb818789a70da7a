"""Many spatial points at once: their figures by lookup, sum and maximum."""

from functools import cached_property
from math import ceil, gcd
from typing import TYPE_CHECKING

import numpy as np

from ....channel import BEAT_BYTES
from ....dsp import CASCADE
from ....kernels.shared import MAX_TERMS, shared_cycles, weight_bytes
from ....kernels.weights import CHANNEL_RAMS, beats_a_word, block_words, choice_cost
from ....memory import BLOCK_DEPTH
from ...channels import copy_channels, shared_channels
from ...decoder import DecoderSpec, loads, ring_cycles
from ...spec import ARRAYS, LINEAR_UNITS
from ..points import ALL, PROMPT, Points
from .copies import encoder_cycles

if TYPE_CHECKING:
    from .space import SpatialSpace

__all__ = ["SpatialPoints"]


class SpatialPoints(Points):
    """Spatial points side by side."""

    kind: "SpatialSpace"

    def __init__(self, kind: "SpatialSpace", choices: np.ndarray):
        super().__init__(kind, choices)
        self.tables = kind.tables
        self.group, self.layers, self.cache = (
            kind.index(choices, name) for name in ("group", "weight_layers", "cache")
        )
        self.options = self.tables.options
        self.option = {name: self.options[name].start[self.group] + kind.index(choices, name) for name in ARRAYS}
        self.copies = kind.value(choices, "copies")
        self.rows = np.array([group[0] for group in self.tables.groups])[self.group]

    def of(self, name: str, figure: str) -> np.ndarray:
        """A figure of an array's option."""
        return np.asarray(getattr(self.options[name], figure)[self.option[name]])

    @cached_property
    def columns(self) -> np.ndarray:
        """Columns of the linear units, [units, points]."""
        return np.stack([self.of(name, "columns") for name in LINEAR_UNITS])

    @cached_property
    def chains(self) -> np.ndarray:
        """Beats of a pass's sums of the linear units, [units, points]."""
        return np.stack([self.of(name, "chain") for name in LINEAR_UNITS])

    @cached_property
    def cascades(self) -> np.ndarray:
        """Cascades of the linear units, [units, points]."""
        return np.stack([self.of(name, "cascades") for name in LINEAR_UNITS])

    @cached_property
    def channels(self) -> np.ndarray:
        """Memory channels of the linear units, [units, points]."""
        return shared_channels(
            copy_channels(self.kind.channels, self.device, self.copies, 1 * self.off_chip),
            self.columns * self.cascades,
            self.columns,
        )

    @cached_property
    def banks(self) -> np.ndarray:
        """RAMs of keys and values that are read at once."""
        scores, sums = (self.of(name, "columns") * self.of(name, "cascades") for name in ("scores", "sums"))
        return scores + sums

    @property
    def joint(self) -> np.ndarray:
        """Where what joins the units stands, by the pair of scores and sums."""
        scores, sums = (self.option[name] - self.options[name].start[self.group] for name in ("scores", "sums"))
        return np.asarray(self.tables.joint_start[self.group] + scores * self.options["sums"].size[self.group] + sums)

    @cached_property
    def resources(self) -> np.ndarray:
        """Resources of all copies, [points, 5]."""
        total = self.tables.resources[self.group] + self.of("scores", "resources")[:, 0]
        every = np.arange(len(self.group))
        total = total + self.of("sums", "resources")[every, self.of("scores", "style")]
        total = total + self.tables.joints[self.joint] + self.tables.cache_resources[self.cache, self.banks]
        for name, channels in zip(LINEAR_UNITS, self.channels, strict=True):
            total = total + self.of(name, "resources")[every, self.layers]
            total = total + (channels - 1)[:, None] * self.of(name, "channel")
        total[:, -2:] += self.choices_cost
        return np.asarray(total * self.copies[:, None])

    @cached_property
    def choices_cost(self) -> np.ndarray:
        """LUT and FF of the RAMs of weights that come in blocks, [points, 2], besides those of single words."""
        if not self.network.causal:
            return np.zeros((len(self.group), 2))
        words = np.vectorize(block_words, otypes=[int])(self.channel_rams, self.block_divisor)
        lut, ff = np.vectorize(choice_cost, otypes=[float, float])(self.channel_rams, words)
        every = np.stack([lut, ff], axis=-1) - choice_cost(1, 1)
        return np.asarray((every * (self.columns * self.cascades)[..., None]).sum(axis=0))

    @property
    def channel_rams(self) -> np.ndarray:
        """RAMs of each channel of the linear units, [units, points]."""
        return np.asarray(-(-self.columns * self.cascades // self.channels))

    @property
    def block_divisor(self) -> np.ndarray:
        """What the words of a block divide, as `DecoderSpec.weight_block` has it."""
        return np.asarray(gcd(self.network.hidden, self.network.intermediate) // (CASCADE * self.cascades))

    @cached_property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Where what depends on both scores and sums stands."""
        return self.option["scores"], self.of("sums", "cascades")

    @cached_property
    def linear(self) -> np.ndarray:
        """Cycles of a tile in the linear units, [units, points]."""
        return np.stack([self.of(name, "cycles")[:, PROMPT] for name in LINEAR_UNITS])

    @cached_property
    def reload(self) -> np.ndarray:
        """As `reload_cycles`."""
        late = np.maximum(0, (self.layer_words * self.beats_a_word - self.linear).max(axis=0))
        return np.where(self.layers == 0, late, 0)

    @cached_property
    def layer_words(self) -> np.ndarray:
        """Words of a layer in each RAM of the linear units, [units, points]."""
        return np.stack([self.of(name, "layer_words") for name in LINEAR_UNITS])

    @cached_property
    def beats_a_word(self) -> np.ndarray:
        """Beats of a channel that make a word for each of its RAMs, [units, points]."""
        if not self.network.causal:
            return np.asarray(-(-self.channel_rams // CHANNEL_RAMS))
        return np.asarray(np.vectorize(beats_a_word, otypes=[float])(self.channel_rams, self.block_divisor))

    @cached_property
    def held(self) -> np.ndarray:
        """Words of the linear units' RAMs, [units, points]."""
        both = np.minimum((self.layers + 1) * self.layer_words, BLOCK_DEPTH["ultra"])
        return np.asarray(np.maximum(self.layer_words, both))

    @cached_property
    def products(self) -> list[tuple[int, int, int]]:
        """What a token asks of all arrays together: inputs, outputs, and how often; the head last."""
        network = self.network
        own = [(operator.inputs, operator.outputs, network.layers) for operator in network.operators]
        return [*own, (network.hidden, network.vocabulary, 1)]

    @cached_property
    def loads(self) -> tuple[np.ndarray, np.ndarray]:
        """Beats of the slowest unit's channels: a token's, and the head's behind a prompt."""
        columns, depths = self.columns.sum(axis=0), self.cascades * CASCADE
        every, behind = loads(
            self.products, columns=columns, depths=depths, beats_a_word=self.beats_a_word, held=self.held
        )
        return np.asarray(every), np.asarray(behind)

    @cached_property
    def filling(self) -> np.ndarray:
        """As `DecoderSpec.filling`."""
        weights = sum(inputs * outputs * times for inputs, outputs, times in self.products)
        return np.asarray(weights / (BEAT_BYTES * self.channels.sum(axis=0) * self.loads[0]))

    @cached_property
    def tail(self) -> tuple[np.ndarray, np.ndarray]:
        """As `DecoderSpec.tail_cycles` and `SpatialDesign.tail_bytes`."""
        none = np.zeros(len(self.group))
        if not self.network.causal:
            return none, none
        held = (self.columns * self.cascades * CASCADE * self.held).sum(axis=0)
        sizes = np.stack([[weight_bytes(one, bits) for one in held.tolist()] for bits in self.kind.weight_bits])
        held_bytes = sizes[self.kind.index(self.choices, "weight_bits"), np.arange(len(held))]
        cycles = np.maximum(self.head, self.loads[1])
        return cycles, np.maximum(0.0, self.by_bits(self.network.head_weights) - held_bytes)

    @cached_property
    def latencies(self) -> np.ndarray:
        """Latencies of the linear units' arrays, [units, points]."""
        every = np.arange(len(self.group))
        return np.stack([self.of(name, "latency")[every, self.layers] for name in LINEAR_UNITS])

    def product(self, place: int, inputs: int, outputs: int) -> np.ndarray:
        """Cycles of a product that all linear units share."""
        passes = np.stack([self.of(name, "passes")[:, place] for name in LINEAR_UNITS])
        cycles = shared_cycles(outputs * ceil(inputs / MAX_TERMS), passes, self.columns, self.chains)
        return cycles + self.latencies.max(axis=0)

    @cached_property
    def head(self) -> np.ndarray:
        """Cycles of the head for a token."""
        return self.product(len(LINEAR_UNITS), self.network.hidden, self.network.vocabulary)

    def prefill(self, length: int) -> np.ndarray:
        """Cycles of a prompt of one of the lengths."""
        tokens = self.kind.prompt + (self.kind.output if length == ALL else 0)
        tiles = -(-tokens // self.rows)
        scores, sums = (self.of(name, "cycles")[:, length] for name in ("scores", "sums"))
        linear = self.linear
        softmax, rows = self.options["scores"].softmax[self.pair][:, length], self.options["scores"].rows[self.pair]
        pace = np.max([rows, *linear, scores, softmax, sums], axis=0).astype(np.int64)
        stream = self.tables.stream[self.group, 0]
        if not self.network.causal:
            qkv = linear[LINEAR_UNITS.index("qkv")]
            busy = linear.sum(axis=0) - qkv + sums + 2 * qkv // 3
            latency = self.latencies.sum(axis=0) + self.of("scores", "latency") + self.of("sums", "latency")
            lead = np.maximum(rows.astype(np.int64), qkv)
            fill = busy + latency + stream
            return np.asarray(encoder_cycles(tiles, self.network.layers, pace, lead, fill, self.reload))
        latency = self.latencies.sum(axis=0) + self.of("scores", "latency") + self.of("sums", "latency")
        loop = self.copies * (linear.sum(axis=0) + scores + sums + latency + stream)
        rounds = self.network.layers // self.copies
        ends = self.tail[0] + self.tables.stream[self.group, 1]
        return np.asarray(ring_cycles(tiles, rounds, tiles * pace, loop) + (rounds - 1) * self.reload + ends)

    @cached_property
    def ports(self) -> np.ndarray:
        """Memory ports: those of the weights, one of parameters, and one of keys and values that lie in memory."""
        return np.asarray((self.channels.sum(axis=0) + 1 + self.off_chip) * self.copies)

    @cached_property
    def bandwidth(self) -> np.ndarray:
        """GB/s of memory through the channels of the weights."""
        filling = self.filling if self.network.causal else 1.0
        return np.asarray(self.device.memory.rate(self.channels.sum(axis=0) * self.copies) * filling)

    def prefill_bytes(self, length: int) -> np.ndarray:
        """Bytes that a prompt reads: the weights, whatever its length."""
        return self.weights

    @cached_property
    def weights(self) -> np.ndarray:
        """Bytes of all weights and parameters."""
        layer, head = (self.by_bits(count) for count in (self.network.layer_weights, self.network.head_weights))
        return np.asarray(self.network.layers * (layer + 64 * self.tables.beats[self.group]) + head)

    @cached_property
    def off_chip(self) -> np.ndarray:
        """Whether keys and values lie in off-chip memory."""
        return (self.cache == 1) if self.network.causal else np.zeros(len(self.group), dtype=bool)

    @cached_property
    def sequences(self) -> np.ndarray:
        """Sequences in each copy, as `flight`."""
        return np.where(self.off_chip, self.rows, 1)

    @cached_property
    def cache_bytes(self) -> np.ndarray:
        """Bytes of keys and values of a token of all layers in off-chip memory."""
        return np.where(self.off_chip, self.network.kv_features * self.network.layers, 0)

    def decode(self, sequences: np.ndarray) -> np.ndarray:
        """Cycles of a token of so many sequences, at most a tile's rows."""
        reading = self.tables.cache_cycles[self.banks] // 2
        attention = [
            np.maximum(self.of(name, "full"), reading) + self.of(name, "latency") for name in ("scores", "sums")
        ]
        products = [
            self.product(place, operator.inputs, operator.outputs)
            for place, operator in enumerate(self.network.operators)
        ]
        rest = sum(products) + self.tables.stream[self.group, 0]
        # Waits are found for one token.
        ends = self.head + self.tables.stream[self.group, 1]
        wait = self.wait(sum(attention) + rest, products[-1], ends)
        layer = sum(sequences * one for one in attention) + rest + wait
        return np.asarray(self.network.layers * layer + ends)

    def wait(self, layer: np.ndarray, last_product: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """As `DecoderSpec.loading_wait`, group by group."""
        found = np.zeros(len(layer), dtype=np.int64)
        for group in np.unique(self.group):
            here, base = self.group == group, self.tables.bases[group]
            assert isinstance(base, DecoderSpec)
            found[here] = base.loading_wait(layer[here], last_product[here], ends[here], self.loads[0][here])
        return found
