"""Many spatial points at once: their figures by lookup, sum and maximum."""

from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ....kernels.shared import MAX_TERMS, shared_cycles
from ...channels import shared_channels
from ...decoder import ring_cycles
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
    def cascades(self) -> np.ndarray:
        """Cascades of the linear units, [units, points]."""
        return np.stack([self.of(name, "cascades") for name in LINEAR_UNITS])

    @cached_property
    def channels(self) -> np.ndarray:
        """Memory channels of the linear units, [units, points]."""
        return shared_channels(self.kind.channels // self.copies, self.columns * self.cascades, self.columns)

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
        return np.asarray(total * self.copies[:, None])

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
        words = np.stack([self.of(name, "layer_words") for name in LINEAR_UNITS])
        rams = -(-self.columns // self.channels) * self.cascades
        late = np.maximum(0, (words * -(-rams // 8) - self.linear).max(axis=0))
        return np.where(self.layers == 0, late, 0)

    @cached_property
    def chains(self) -> np.ndarray:
        """Beats of a pass's sums of the linear units, [units, points]."""
        return np.stack([self.of(name, "chain") for name in LINEAR_UNITS])

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
        loop = self.copies * (linear.sum(axis=0) + scores + sums + stream)
        rounds = self.network.layers // self.copies
        return np.asarray(ring_cycles(tiles, rounds, tiles * pace, loop) + (rounds - 1) * self.reload + self.head)

    @cached_property
    def ports(self) -> np.ndarray:
        """Memory ports: those of the weights, one of parameters, and one of keys and values that lie in memory."""
        return np.asarray((self.channels.sum(axis=0) + 1 + self.off_chip) * self.copies)

    @property
    def bandwidth(self) -> float:
        """GB/s of memory: all of it."""
        return self.device.memory.bandwidth_gb_s

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
        stages = self.tables.stream[self.group, 1] + sum(
            sequences * np.maximum(self.of(name, "full"), reading) for name in ("scores", "sums")
        )
        for place, operator in enumerate(self.network.operators):
            stages = stages + self.product(place, operator.inputs, operator.outputs)
        return np.asarray(self.network.layers * stages + self.head)
