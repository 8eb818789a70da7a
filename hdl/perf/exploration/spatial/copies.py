"""Copies of a layer's hardware: layers on chip, as many as there are copies, one behind the other in a ring.

Copy c computes the layers c, c + C, c + 2 C and so on (paper, section 4.2: C layers on the device). Of a single
sequence only a decoder's prompt gains, whose tiles fill the ring: an encoder's layer waits for the last key of the one
before, and a token for itself. Several sequences in flight, one in each copy, gain all of it, and share the memory's
bandwidth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

from ....resources import Resources
from ...designs.design import Phase, SpatialDesign
from ...geometry.decoder_layer_spec import DecoderLayerSpec
from ...geometry.formulas import reload_cycles, ring_prompt
from ...geometry.pipeline_spec import PipelineSpec

__all__ = ["CopiedDesign", "flight"]


@dataclass(frozen=True)
class CopiedDesign(SpatialDesign):
    """``copies`` of a layer's hardware in a ring; a divisor of the network's layers.

    Raises:
        ValueError: for a number of copies that the layers are no multiple of.
    """

    copies: int = 1

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

    def prefill(self, tokens: int) -> Phase:
        """A prompt of one sequence."""
        found, spec = super().prefill(tokens), self.spec
        if not isinstance(spec, DecoderLayerSpec):
            return found
        units = spec.linear_units
        reload = reload_cycles(
            [unit.layer_beats for unit in units], [unit.cycles(1) for unit in units], spec.weight_layers
        )
        cycles = ring_prompt(
            ceil(tokens / spec.rows), self.network.layers, self.copies, busy=spec.busy_cycles(tokens),
            tile_latency=spec.tile_latency(tokens), reload=reload, ends=spec.tail_cycles + spec.end_cycles,
        )  # fmt: skip
        return replace(found, cycles=int(cycles))

    def decode(self, context: int, sequences: int = 1) -> Phase:
        """Tokens of several sequences, in as many groups as there are copies, each of which reads all weights."""
        group = ceil(sequences / self.copies)
        groups = ceil(sequences / group)
        found, network = super().decode(context, group), self.network
        weights = groups * (network.layers * self.layer_bytes + self.head_bytes)
        assert isinstance(self.spec, DecoderLayerSpec)
        cached = sequences * self.spec.cache.bytes_read(context)
        return Phase(
            cycles=found.cycles,
            bytes=weights + cached,
            beside=cached if self.spec.cache_ports else 0.0,
            macs=found.macs // group * sequences,
            stages=found.stages,
        )


def flight(spec: PipelineSpec, copies: int) -> int:
    """Sequences in flight that fill a design: one in each copy, or as many as a tile has rows where decoding reads keys
    and values from memory. A cache on chip has room for one in each copy."""
    off_chip = isinstance(spec, DecoderLayerSpec) and not spec.cache_on_chip
    return copies * (spec.rows if off_chip else 1)
