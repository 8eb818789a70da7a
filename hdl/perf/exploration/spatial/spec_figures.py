"""What the specs say of every option of every unit, each of them asked once: the contents of the tables."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from math import ceil
from typing import Any

import numpy as np

from ....kernels.kvcache import KvCacheSpec
from ....kernels.shared import product_pass
from ....model.network import Network
from ....resources import Resources
from ...choice.one_pace import MAX_CASCADES
from ...geometry.arrays import ArrayShape
from ...geometry.decoder_layer_spec import DecoderLayerSpec
from ...geometry.formulas import average_tile, prompt_cycles
from ...geometry.joints import joint_resources
from ...geometry.pipeline_spec import PipelineSpec
from ...workload import TILES
from ..points import counts

__all__ = ["LENGTHS", "STYLES", "SpecFigures"]

LENGTHS = 2
"""Lengths that cycles are kept for: the prompt; all tokens, for which the constraints are checked."""

STYLES = ("block", "ultra")
"""Kinds of RAM of keys and values."""


def works(base: PipelineSpec, sums: ArrayShape) -> bool:
    """Whether the weighted sums can have a shape."""
    try:
        return base.sums_of(sums) is not None
    except ValueError:
        return False


class SpecFigures:
    """What the specs say, each of them asked once."""

    def __init__(self, network: Network, lengths: tuple[int, int], context: int):
        self.network, self.lengths, self.context = network, lengths, context
        # The specs are values: equal ones of different groups have equal figures.
        self.linear_figures = cache(self._linear)
        self.resources = cache(lambda unit: counts(unit.resources))
        self.tile = cache(self._tile)
        self.no_tiles = np.zeros((LENGTHS, ceil(lengths[1] / min(TILES))), dtype=np.int32)

    def linear(self, name: str, base: PipelineSpec, menu: dict[str, list[ArrayShape]]) -> dict[str, Any]:
        """The options of a linear unit."""
        return self._table(
            menu[name],
            lambda shape: self.linear_figures(*(base.linear_of(name, shape, layers) for layers in (1, 2))),
        )

    def _linear(self, *units: Any) -> dict[str, Any]:
        # What blocks of words cost depends on the channels.
        units = tuple(replace(unit, block=1) for unit in units)
        one = units[0]
        resources = np.stack([counts(unit.resources) for unit in units])
        more = counts(replace(one, channels=2).resources) - resources[0] if one.columns > 1 else np.zeros(5)
        inputs = [operator.inputs for operator in self.network.operators]
        return {
            "cycles": [one.cycles(1)] * LENGTHS,
            "resources": resources,
            "latency": [unit.array.latency for unit in units],
            "channel": more,
            "chain": one.array.chain,
            "passes": [product_pass(one.array, each) for each in (*inputs, self.network.hidden)],
            "layer_words": one.layer_words,
        }

    def scores(self, name: str, base: PipelineSpec, menu: dict[str, list[ArrayShape]]) -> dict[str, Any]:
        """The options of the scores."""
        sums = {shape.cascades for shape in menu["sums"] if works(base, shape)}

        def row(shape: ArrayShape) -> dict[str, Any]:
            unit = base.scores_of(shape)
            own = self.by_cascades()
            for cascades in sums:
                softmax = base.softmax_of(unit, cascades)
                own["softmax"][cascades] = [self.tile(softmax, length) for length in self.lengths]
                own["softmax_tiles"][cascades] = self.tiles(softmax)
                own["rows"][cascades] = base.row_cycles_with(softmax)
            return self._attention(unit, unit) | own | {"style": STYLES.index(unit.ram_style)}

        return self._table(menu[name], row)

    def by_cascades(self) -> dict[str, np.ndarray]:
        """Room for what scores have by the cascades of the sums."""
        cascades = MAX_CASCADES + 1
        softmax, tiles = np.zeros((cascades, LENGTHS)), np.zeros((cascades, *self.no_tiles.shape), dtype=np.int32)
        return {"softmax": softmax, "softmax_tiles": tiles, "rows": np.zeros(cascades)}

    def sums(self, name: str, base: PipelineSpec, menu: dict[str, list[ArrayShape]]) -> dict[str, Any]:
        """The options of the weighted sums, with their requantiser."""

        def row(shape: ArrayShape) -> dict[str, Any]:
            unit = base.sums_of(shape)
            units = [replace(unit, ram_style=style) for style in STYLES]
            requantise = self.resources(replace(base.requantise(base.attention.name), sum_bits=unit.array.sum_bits))
            found = self._attention(*units)
            # What only scores have.
            return found | self.by_cascades() | {"style": 0} | {"resources": found["resources"] + requantise}

        return self._table(menu[name], row)

    def _attention(self, *units: Any) -> dict[str, Any]:
        seen = min(self.context + 1, self.lengths[1])
        return {
            "cycles": [self.tile(units[0], length) for length in self.lengths],
            "tiles": self.tiles(units[0]),
            "resources": np.stack([self.resources(unit) for unit in units]),
            "latency": units[0].array.latency,
            "full": units[0].tile_cycles(seen),
        }

    def _tile(self, unit: Any, tokens: int) -> int:
        """Cycles of a tile, as the pipeline's `tile_cycles`."""
        if self.network.causal:
            return average_tile(unit, tokens)
        return int(unit.tile_cycles(tokens))

    def tiles(self, unit: Any) -> np.ndarray:
        """Cycles of each tile of a decoder's prompts, as `prompt_cycles`, [lengths, tiles]; 0 behind the last."""
        found = self.no_tiles.copy()
        for cycles, length in zip(found, self.lengths, strict=True) if self.network.causal else ():
            own = prompt_cycles(unit, length)
            cycles[: len(own)] = own
        return found

    def _table(self, shapes: Sequence[ArrayShape], row: Any) -> dict[str, Any]:
        """Rows of the shapes that the specs allow, the fastest first."""
        found = []
        for shape in shapes:
            try:
                found.append({"shapes": shape, **row(shape)})
            except ValueError:
                continue
        found.sort(key=lambda one: (one["cycles"][0], -one["shapes"].columns))
        return {
            name: [one[name] for one in found] if name == "shapes" else np.array([one[name] for one in found])
            for name in found[0]
        }

    def rest(self, base: PipelineSpec) -> Resources:
        """What no array's shape changes: the other units."""
        own = {*base.arrays, f"requantise_{base.attention.name}", "kv_cache"}
        units: dict[str, Any] = {name: unit for name, unit in base.units.items() if name not in own}
        return sum((unit.resources for unit in units.values()), Resources())

    def joints(self, base: PipelineSpec, scores: Sequence[ArrayShape], sums: Sequence[ArrayShape]) -> np.ndarray:
        """What joins the units, [scores x sums, 5]: the width of an order and the heads in flight follow from both."""
        found: dict[tuple[int, int], np.ndarray] = {}
        rows = []
        for pair in product(scores, sums):
            units = base.scores_of(pair[0]), base.sums_of(pair[1])
            key = base.order_bits_with(*units), base.heads_in_sums_with(units[1])
            if key not in found:
                found[key] = counts(joint_resources(base, *key))
            rows.append(found[key])
        return np.array(rows)

    def stream(self, base: PipelineSpec) -> tuple[int, int]:
        """Cycles that a tile spends between the arrays, of an encoder as it is screened; and at both ends of a
        decoder's run."""
        return base.stream_cycles, base.end_cycles if isinstance(base, DecoderLayerSpec) else 0

    def caches(self, base: PipelineSpec, banks: int) -> tuple[np.ndarray, np.ndarray]:
        """By the RAMs of the KV cache: its resources, on chip and off it, and cycles to read a context."""
        if not isinstance(base, DecoderLayerSpec):
            return np.zeros((2, banks + 1, 5)), np.zeros(banks + 1)
        resources, cycles = np.zeros((2, banks + 1, 5)), np.zeros(banks + 1, dtype=np.int64)
        for count in range(1, banks + 1):
            for off_chip in (0, 1):
                cache: KvCacheSpec = replace(base.cache, banks=count, on_chip=not off_chip)
                resources[off_chip, count] = counts(cache.resources)
                cycles[count] = cache.cycles(self.context)
        return resources, cycles
