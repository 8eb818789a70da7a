"""The spatial design: a unit for each operator of a layer, perhaps in several copies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil, inf
from typing import Any

import numpy as np

from ...channel import BEAT_BYTES
from ...model.network import Network
from ...resources import Resources
from ..device import Memory
from ..geometry.arrays import ATTENTION_ARRAYS
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.decoder_spec import DecoderSpec
from ..geometry.formulas import held_weights, unheld_bytes
from ..geometry.pipeline_spec import PipelineSpec
from ..schedule.encoder_schedule import counted_cycles
from .phase import Phase
from .weight_loads import loaded, product_bytes

__all__ = ["SpatialDesign", "prompt_cycles"]


@dataclass(frozen=True)
class SpatialDesign:
    """Every operator of a layer has a unit of its own, and a layer's weights lie on chip.

    ``copies`` of a layer's hardware stand in a ring: copy c computes the layers c, c + C, c + 2 C and so on (paper,
    section 4.2: C layers on the device). A single sequence gains from them only in a decoder's prompt, whose tiles fill
    the ring: an encoder's layer waits for the last key of the one before, and a token for itself. Several sequences in
    flight, one in each copy, gain all of it, and share the memory's bandwidth.

    ``banks``: layers whose keys and values lie in RAMs at once, if they are loaded ahead. A decoder that is built says
    the bits of its weights and its banks itself, whatever is given here.

    Raises:
        ValueError: for a number of copies that the layers are no multiple of.
    """

    network: Network
    spec: PipelineSpec
    weight_bits: int = 8
    copies: int = 1
    banks: int = field(default=0, kw_only=True)

    kind = "spatial"

    def __post_init__(self) -> None:
        if self.copies < 1 or self.network.layers % self.copies:
            raise ValueError(f"copies must divide the {self.network.layers} layers, not {self.copies}")

    @cached_property
    def units(self) -> Mapping[str, Any]:
        """The specs of the units of all copies."""
        if self.copies == 1:
            return self.spec.units
        return {f"{name}_{copy}": unit for copy in range(self.copies) for name, unit in self.spec.units.items()}

    @cached_property
    def rest(self) -> Resources:
        """The buffers of parameters, and control, of all copies."""
        return self.spec.parameter_resources * self.copies

    @cached_property
    def resources(self) -> Resources:
        """What all copies take."""
        return self.spec.resources * self.copies

    @property
    def flight(self) -> int:
        """Sequences in flight that fill it: one in each copy, or as many as a tile has rows where decoding reads keys
        and values from memory. A cache on chip has room for one in each copy."""
        return self.copies * (self.spec.rows if self.cache_bytes else 1)

    @property
    def channels(self) -> int:
        """Those of the weights, one of parameters, and those of keys and values that lie in memory, one at least."""
        return self.copies * (sum(self.spec.channels) + 1 + (max(1, self._cache_ports) if self.cache_bytes else 0))

    @property
    def _cache_ports(self) -> int:
        """Those of keys and values alone, of each copy."""
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
        """Tokens of several sequences, in as many groups as there are copies, each of which reads all weights. Those of
        a group share a tile's rows and the weights; each reads keys and values of its own."""
        return _spatial_token(self, context, sequences)


def prompt_cycles(spec: PipelineSpec, tokens: int, layers: int, copies: int = 1) -> int:
    """Cycles of a prompt through so many layers: counted for an encoder, estimated for a decoder."""
    if isinstance(spec, DecoderLayerSpec):
        return spec.estimated_prompt_cycles(tokens, layers, copies)
    return counted_cycles(spec, tokens, layers)


# Both are kept: whoever chooses a geometry again, for another clock or more of a device, tries much the same ones.
@lru_cache(maxsize=1 << 12)
def _spatial_prefill(design: SpatialDesign, tokens: int) -> Phase:
    network, spec = design.network, design.spec
    tiles = ceil(tokens / spec.rows)
    cycles, tail = prompt_cycles(spec, tokens, network.layers, design.copies), 0
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
    group = ceil(sequences / design.copies)
    tiles, weights = ceil(group / spec.rows), network.layers * design.layer_bytes + design.head_bytes
    stages = spec.token_cycles(context)
    for name in ATTENTION_ARRAYS:
        stages[name] *= group
    for operator in network.operators:
        stages[operator.name] *= tiles
    cached = sequences * spec.cache.bytes_read(context)
    phase = Phase(
        cycles=network.layers * sum(stages.values()) + tiles * spec.head_cycles() + spec.end_cycles,
        bytes=ceil(sequences / group) * weights + cached,
        beside=cached if spec.cache_ports else 0.0,
        ahead=design.ahead,
        head_bytes=design.head_bytes,
        macs=sequences * (network.layers * network.layer_macs(1, context) + network.head_weights),
        stages=stages,
    )
    return loaded(phase, network, spec, design.tail_bytes)
