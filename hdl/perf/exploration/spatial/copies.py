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

import numpy as np

from ....resources import Resources
from ...designs.design import Phase, SpatialDesign
from ...geometry.decoder_layer_spec import DecoderLayerSpec
from ...geometry.formulas import ring_cycles
from ...geometry.pipeline_spec import PipelineSpec

__all__ = [
    "CopiedDesign",
    "encoder_cycles",
    "flight",
    "reload_cycles",
    "ring_prompt",
    "stream_fill",
]


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


def reload_cycles(beats: Any, cycles: Any, weight_layers: Any) -> Any:
    """Cycles from a layer to the next in which the slowest linear unit's weights are not there yet, if only one layer's
    lie on chip: they come in while the last tile of the layer before lets its own go. ``beats`` of a layer's weights
    and ``cycles`` of a tile, [units] or [units, points]; numbers of ``weight_layers``, or an array of them."""
    late = np.max(np.subtract(beats, cycles), axis=0)
    return np.where(np.asarray(weight_layers) > 1, 0, np.maximum(0, late))


def ring_prompt(tiles: Any, layers: int, copies: Any, *, busy: Any, tile_latency: Any, reload: Any, ends: Any) -> Any:
    """Cycles of a prompt of ``tiles`` in a ring of ``copies``: see `ring_cycles`; between rounds what the weights are
    late, and cycles of both ``ends``. Numbers, or arrays of them."""
    rounds = layers // copies
    return ring_cycles(tiles, rounds, busy, copies * tile_latency) + (rounds - 1) * reload + ends


def encoder_cycles(tiles: Any, layers: int, pace: Any, lead: Any, fill: Any, reload: Any) -> Any:
    """Cycles of a run, about: the first layer's keys and values, two of three parts of ``lead`` a tile; in every layer
    a tile through all units, the ``fill``, and the others behind it at the ``pace`` of the slowest; between layers what
    the weights are later than that. Numbers, or arrays of them."""
    between = np.maximum(0, reload - fill)
    return layers * ((tiles - 1) * pace + fill) + 2 * tiles * lead // 3 + (layers - 1) * between


def stream_fill(spec: PipelineSpec) -> int:
    """Cycles of a tile between the arrays of an encoder: beats of what needs whole rows, and latencies."""
    beats = 5 * spec.tile_beats + spec.intermediate // spec.ffn_lanes
    latencies = sum(spec.row_quantise(name).latency + spec.requantise(name).latency for name in spec.products)
    return beats + latencies + 2 * spec.norm.latency + spec.softmax.latency + spec.activation.latency
