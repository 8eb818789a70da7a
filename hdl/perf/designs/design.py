"""A design of a network, of either kind, and what it does in a phase: cycles, bytes, and what bounds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil, inf
from typing import Any, Protocol

import numpy as np

from ...channel import BEAT_BYTES
from ...kernels.shared import weight_bytes
from ...model.network import Network
from ...resources import Resources
from ..device import Memory
from ..geometry.arrays import ATTENTION_ARRAYS
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.decoder_spec import DecoderSpec
from ..geometry.formulas import held_weights, unheld_bytes
from ..geometry.pipeline_spec import PipelineSpec
from ..geometry.streamed_spec import StreamedSpec
from ..schedule.encoder_schedule import counted_cycles
from .phase import Phase
from .weight_loads import loaded, product_bytes

__all__ = ["Design", "Phase", "SpatialDesign", "StreamedDesign"]


class Design(Protocol):
    """What an estimate asks of a design."""

    @property
    def network(self) -> Network:
        """What it computes."""
        ...

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in memory."""
        ...

    @property
    def kind(self) -> str:
        """A word for it."""
        ...

    @property
    def spec(self) -> Any:
        """The geometry: a plain value."""
        ...

    @property
    def units(self) -> Mapping[str, Any]:
        """The specs of its units."""
        ...

    @property
    def rest(self) -> Resources:
        """What belongs to no unit."""
        ...

    @property
    def resources(self) -> Resources:
        """What it takes."""
        ...

    @property
    def channels(self) -> int:
        """Memory ports it has."""
        ...

    def bandwidth(self, memory: Memory) -> float:
        """GB/s that it can draw from a memory, at the peak."""
        ...

    def cache_bandwidth(self, memory: Memory) -> float:
        """GB/s that it can draw at the peak through ports of keys and values alone; infinite where these have none, and
        come with all else."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values of a sequence in off-chip memory."""
        ...

    def prefill(self, tokens: int) -> Phase:
        """A prompt of so many tokens."""
        ...

    def decode(self, context: int, sequences: int = 1) -> Phase:
        """A token of each of so many sequences, behind ``context`` others each."""
        ...


@dataclass(frozen=True)
class SpatialDesign:
    """Every operator of a layer has a unit of its own, and a layer's weights lie on chip.

    ``banks``: layers whose keys and values lie in RAMs at once, if they are loaded ahead. A decoder that is built says
    the bits of its weights and its banks itself, whatever is given here.
    """

    network: Network
    spec: PipelineSpec
    weight_bits: int = 8
    banks: int = field(default=0, kw_only=True)

    kind = "spatial"
    copies = 1

    @cached_property
    def units(self) -> Mapping[str, Any]:
        """The specs of its units."""
        return self.spec.units

    @cached_property
    def rest(self) -> Resources:
        """The buffers of parameters, and control."""
        return self.spec.parameter_resources

    @cached_property
    def resources(self) -> Resources:
        """What it takes."""
        return self.spec.resources

    @property
    def channels(self) -> int:
        """Those of the weights, one of parameters, and those of keys and values that lie in memory, one at least."""
        return self.copies * (sum(self.spec.channels) + 1 + (max(1, self._cache_ports) if self.cache_bytes else 0))

    @property
    def _cache_ports(self) -> int:
        return self.spec.cache_ports if isinstance(self.spec, DecoderLayerSpec) else 0

    @property
    def ahead(self) -> float:
        """Share of a token's keys and values that have banks while the head of the token before works."""
        banks = self.spec.cache_banks if isinstance(self.spec, DecoderSpec) else self.banks
        return banks / self.network.layers if self._cache_ports else 0.0

    def bandwidth(self, memory: Memory) -> float:
        """GB/s that it can draw from a memory, at the peak: through the channels of its weights, a decoder's as far as
        they are filled."""
        filling = self.spec.filling if isinstance(self.spec, DecoderLayerSpec) else 1.0
        return float(memory.rate(sum(self.spec.channels) * self.copies) * filling)

    def cache_bandwidth(self, memory: Memory) -> float:
        """GB/s that it can draw at the peak through ports of keys and values; infinite where these share others."""
        return float(memory.rate(self._cache_ports * self.copies)) if self._cache_ports else inf

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values of a sequence in off-chip memory."""
        spec = self.spec
        return spec.cache.size if isinstance(spec, DecoderLayerSpec) and not spec.cache_on_chip else 0

    @cached_property
    def layer_bytes(self) -> float:
        """Weights and parameters of a layer."""
        weights = (product_bytes(self.spec, one.name, one.weights, self.weight_bits) for one in self.network.operators)
        return sum(weights) + BEAT_BYTES * self.spec.sections["layer"].beats

    @cached_property
    def head_bytes(self) -> float:
        """Weights of the head."""
        return product_bytes(self.spec, "head", self.network.head_weights, self.weight_bits)

    @cached_property
    def tail_bytes(self) -> float:
        """Weights of the head that the RAMs of the linear units do not hold."""
        units = [(unit.columns, unit.cascades, unit.ram_depth) for unit in self.spec.linear_units]
        held = int(held_weights(*np.array(units).T))
        return float(unheld_bytes(self.head_bytes, product_bytes(self.spec, "head", held, self.weight_bits)))

    def prefill(self, tokens: int) -> Phase:
        """A prompt; its last token through the head."""
        return _spatial_prefill(self, tokens)

    def decode(self, context: int, sequences: int = 1) -> Phase:
        """Tokens of several sequences share a tile's rows and the weights; each reads keys and values of its own."""
        return _spatial_token(self, context, sequences)


def prompt_cycles(spec: PipelineSpec, tokens: int, layers: int) -> int:
    """Cycles of a prompt through so many layers: counted for an encoder, estimated for a decoder."""
    if isinstance(spec, DecoderLayerSpec):
        return spec.estimated_prompt_cycles(tokens, layers)
    return counted_cycles(spec, tokens, layers)


# Both are kept: whoever chooses a geometry again, for another clock or more of a device, tries much the same ones.
@lru_cache(maxsize=1 << 12)
def _spatial_prefill(design: SpatialDesign, tokens: int) -> Phase:
    network, spec = design.network, design.spec
    tiles = ceil(tokens / spec.rows)
    cycles, tail = prompt_cycles(spec, tokens, network.layers), 0
    if isinstance(spec, DecoderLayerSpec):
        tail = spec.tail_cycles
        cycles += tail + spec.end_cycles
    return Phase(
        cycles=cycles,
        bytes=network.layers * design.layer_bytes + design.head_bytes,
        macs=network.layers * network.layer_macs(tokens) + network.head_weights,
        stages={name: tiles * one for name, one in spec.tile_cycles(tokens).items()},
        tail_cycles=tail,
        tail_bytes=design.tail_bytes if tail else 0.0,
    )


@lru_cache(maxsize=1 << 12)
def _spatial_token(design: SpatialDesign, context: int, sequences: int) -> Phase:
    network, spec = design.network, design.spec
    if not isinstance(spec, DecoderLayerSpec):
        raise TypeError(f"an encoder such as {network.name} does not decode")
    tiles = ceil(sequences / spec.rows)
    stages = spec.token_cycles(context)
    for name in ATTENTION_ARRAYS:
        stages[name] *= sequences
    for operator in network.operators:
        stages[operator.name] *= tiles
    cached = sequences * spec.cache.bytes_read(context)
    phase = Phase(
        cycles=network.layers * sum(stages.values()) + tiles * spec.head_cycles() + spec.end_cycles,
        bytes=network.layers * design.layer_bytes + design.head_bytes + cached,
        beside=cached if spec.cache_ports else 0.0,
        ahead=design.ahead,
        head_bytes=design.head_bytes,
        macs=sequences * (network.layers * network.layer_macs(1, context) + network.head_weights),
        stages=stages,
    )
    return loaded(phase, network, spec, design.tail_bytes)


@dataclass(frozen=True)
class StreamedDesign:
    """One array computes every product, and weights pass through it once for each block of tiles."""

    network: Network
    spec: StreamedSpec
    weight_bits: int = 8

    kind = "streamed"

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
