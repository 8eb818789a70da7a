"""The streamed design: one array for all products."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf
from typing import Any

from ...kernels.shared import weight_bytes
from ...model.network import Network
from ...resources import Resources
from ..device import Memory
from ..geometry.streamed_spec import StreamedSpec
from .phase import Phase

__all__ = ["StreamedDesign"]


@dataclass(frozen=True)
class StreamedDesign:
    """One array computes every product, and weights pass through it once for each block of tiles."""

    network: Network
    spec: StreamedSpec
    weight_bits: int = 8

    kind = "streamed"

    @property
    def flight(self) -> int:
        """Sequences in flight that fill it: a token of each in a tile's rows."""
        return self.spec.rows

    @property
    def units(self) -> Mapping[str, Any]:
        """The specs of its units."""
        return self.spec.units

    @property
    def rest(self) -> Resources:
        """The buffer of activations."""
        return self.spec.shared.buffer_resources

    @property
    def resources(self) -> Resources:
        """What it takes."""
        return self.spec.resources

    @property
    def channels(self) -> int:
        """Memory ports it has."""
        return self.spec.channels

    def bandwidth(self, memory: Memory) -> float:
        """GB/s that it can draw from a memory, at the peak: through its channels all weights pass."""
        return float(memory.rate(self.channels))

    def cache_bandwidth(self, memory: Memory) -> float:
        """Keys and values come through the channels of the weights."""
        return inf

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values of a sequence in off-chip memory."""
        return self.spec.cache.size if self.network.causal else 0

    @cached_property
    def layer_bytes(self) -> float:
        """Weights of a layer."""
        return weight_bytes(self.network.layer_weights, self.weight_bits)

    @cached_property
    def head_bytes(self) -> float:
        """Weights of the head."""
        return weight_bytes(self.network.head_weights, self.weight_bits)

    def prefill(self, tokens: int) -> Phase:
        """A prompt, a block after the other; its last token through the head."""
        network, spec = self.network, self.spec
        tiles = ceil(tokens / spec.rows)
        stages = spec.product_cycles(tiles) | {
            "attention": spec.attention_cycles(tokens, 0),
            "rows": spec.stream_cycles(tiles),
        }
        # Keys and values are written once, and read once a layer.
        kept = 2 * tokens * network.kv_features * network.layers
        return Phase(
            cycles=network.layers * sum(stages.values()) + self._head_cycles(1),
            bytes=network.layers * self.layer_bytes * spec.shared.readings(tiles) + self.head_bytes + kept,
            macs=network.layers * network.layer_macs(tokens) + network.head_weights,
            stages=stages,
        )

    def decode(self, context: int, sequences: int = 1) -> Phase:
        """Tokens of several sequences share the weights; each reads keys and values of its own."""
        network, spec = self.network, self.spec
        tiles = ceil(sequences / spec.rows)
        stages = spec.product_cycles(tiles) | {
            "attention": sequences * spec.attention_cycles(1, context),
            "rows": spec.stream_cycles(tiles),
        }
        return Phase(
            cycles=network.layers * sum(stages.values()) + self._head_cycles(tiles),
            bytes=network.layers * self.layer_bytes * spec.shared.readings(tiles)
            + self.head_bytes
            + sequences * spec.cache.bytes_read(context),
            macs=sequences * (network.layers * network.layer_macs(1, context) + network.head_weights),
            stages=stages,
        )

    def _head_cycles(self, tiles: int) -> int:
        network = self.network
        return self.spec.shared.product_cycles(network.hidden, network.vocabulary, tiles) if network.causal else 0
