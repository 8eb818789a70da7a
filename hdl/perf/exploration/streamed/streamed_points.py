"""Many streamed points at once: their figures by lookup and sum, as `StreamedDesign` gives them for each."""

from functools import cached_property

import numpy as np

from ..points import ALL, Points
from .streamed_axes import StreamedAxes
from .streamed_tables import TOKEN

__all__ = ["StreamedPoints"]


class StreamedPoints(Points):
    """Streamed points side by side."""

    kind: StreamedAxes

    def __init__(self, kind: StreamedAxes, choices: np.ndarray):
        super().__init__(kind, choices)
        tables = kind.tables
        self.group = kind.index(choices, "group")
        self.arrays, self.attention = tables.arrays, tables.attention
        self.array = self.arrays.start[self.group] + kind.index(choices, "array")
        self.pair = self.attention.start[self.group] + kind.index(choices, "attention")
        self.rows = np.array([rows for rows, _ in tables.groups])[self.group]
        self.block = tables.blocks[self.group, kind.index(choices, "block")]
        self.copies = np.ones_like(self.rows)

    @property
    def sequences(self) -> np.ndarray:
        """Sequences in flight: a token of each in a tile's rows."""
        return self.rows

    @cached_property
    def resources(self) -> np.ndarray:
        """Resources of the whole, [points, 5]."""
        rest = self.kind.tables.resources
        block, cascades = self.kind.index(self.choices, "block"), self.arrays.cascades[self.array]
        own = self.arrays.resources[self.array] + self.attention.resources[self.pair]
        return np.asarray(own + rest[self.group, block, cascades])

    @cached_property
    def ports(self) -> np.ndarray:
        """Memory ports, which are the channels."""
        return self.kind.value(self.choices, "channels")

    @property
    def tail(self) -> tuple[np.ndarray, np.ndarray]:
        """Nothing: what comes last is read like all else."""
        return np.zeros(len(self.rows)), np.zeros(len(self.rows))

    @cached_property
    def bandwidth(self) -> np.ndarray:
        """GB/s of memory, over the ports."""
        return np.asarray(self.device.memory.rate(self.ports))

    @property
    def cache_bytes(self) -> np.ndarray:
        """Bytes of keys and values of a token of all layers."""
        return np.full(len(self.choices), self.network.kv_features * self.network.layers)

    @cached_property
    def layers(self) -> np.ndarray:
        """Bytes of the weights of all layers."""
        return self.network.layers * self.by_bits(self.network.layer_weights)

    @cached_property
    def weights(self) -> np.ndarray:
        """Bytes of all weights."""
        return np.asarray(self.layers + self.by_bits(self.network.head_weights))

    def cycles(self, length: int, sequences: int | np.ndarray = 1) -> np.ndarray:
        """Cycles of all layers and the head, attention for so many sequences."""
        attention = sequences * self.attention.cycles[self.pair, length]
        layer = self.arrays.cycles[self.array, length] + attention
        return np.asarray(self.network.layers * layer + self.arrays.head[self.array])

    def prefill(self, length: int) -> np.ndarray:
        """Cycles of a prompt of one of the lengths."""
        return self.cycles(length)

    def prefill_bytes(self, length: int) -> np.ndarray:
        """Bytes of a prompt: the weights once a block, keys and values written and read."""
        tokens = self.kind.prompt + (self.kind.output if length == ALL else 0)
        readings = np.ceil(np.ceil(tokens / self.rows) / self.block)
        kept = 2 * tokens * self.cache_bytes
        return np.asarray(self.layers * readings + self.by_bits(self.network.head_weights) + kept)

    def decode(self, sequences: np.ndarray) -> np.ndarray:
        """Cycles of a token of so many sequences, at most a tile's rows."""
        return self.cycles(TOKEN, sequences)
