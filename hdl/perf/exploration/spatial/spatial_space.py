"""The spatial designs that are explored, and how points of them are drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...geometry.arrays import Arrays
from ..kind import Kind
from ..point import DesignPoint
from .spatial_axes import SpatialAxes
from .spatial_points import SpatialPoints

__all__ = ["SpatialSpace"]

BALANCED = 0.75
"""Share of the points whose arrays are drawn to keep one pace; the others are drawn alike from all there are."""

NEIGHBOUR = 0.15
"""How often an array of a balanced point is the next faster, and how often the next slower one."""


@dataclass(frozen=True, kw_only=True)
class SpatialSpace(SpatialAxes, Kind):
    """All spatial designs of a network on a device."""

    name = "spatial"

    def sizes(self, group: Any) -> list[Any]:
        """How many choices each axis has, in points whose tile and lanes are these."""
        arrays = [self.tables.options[name].size[group] for name in self.arrays]
        caches = 2 if self.network.causal else 1
        return [
            len(self.tables.groups), *arrays, 2, len(self.copies), len(self.weight_bits), len(self.clocks), caches
        ]  # fmt: skip

    @cached_property
    def size(self) -> int:
        """How many points there are."""
        return sum(int(np.prod([int(n) for n in self.sizes(g)[1:]])) for g in range(len(self.tables.groups)))

    def draw(self, seed: int, batch: int, count: int) -> np.ndarray:
        """``count`` points, [points, axes]: the same for the same seed and batch, whatever was drawn before."""
        random = np.random.default_rng([seed, batch])
        group = random.integers(len(self.tables.groups), size=count)
        uniform = random.random((count, len(self.axes)))
        sizes = np.stack([np.broadcast_to(size, count) for size in self.sizes(group)], axis=1)
        choices = (uniform * sizes).astype(np.int64)
        choices[:, 0] = group
        balanced = random.random(count) < BALANCED
        paces = self.tables.pace_limits[group]
        pace = paces[:, 0] * (paces[:, 1] / paces[:, 0]) ** random.random(count)
        for axis, name in enumerate(self.arrays, start=1):
            options = self.tables.options[name]
            step = random.choice([-1, 0, 1], size=count, p=[NEIGHBOUR, 1 - 2 * NEIGHBOUR, NEIGHBOUR])
            kept = np.clip(options.slowest_within(group, pace) + step, 0, options.size[group] - 1)
            choices[:, axis] = np.where(balanced, kept, choices[:, axis])
        return choices

    def enumerate(self, chunk: int = 1 << 14) -> Iterator[np.ndarray]:
        """Every point, in arrays as `draw` gives them."""
        for group in range(len(self.tables.groups)):
            sizes = [int(size) for size in self.sizes(group)[1:]]
            total = int(np.prod(sizes))
            for start in range(0, total, chunk):
                places = np.unravel_index(np.arange(start, min(total, start + chunk)), sizes)
                yield np.stack([np.full(len(places[0]), group), *places], axis=1)

    def screened(self, choices: np.ndarray) -> SpatialPoints:
        """Points side by side."""
        return SpatialPoints(self, choices)

    def point(self, choice: np.ndarray) -> DesignPoint:
        """The design of a choice, built through its spec."""
        group = int(self.index(choice, "group"))
        rows, lanes, ffn_lanes, score_lanes = self.tables.groups[group]
        arrays = {name: self.tables.options[name].shapes[group][self.index(choice, name)] for name in self.arrays}
        plain = {name: int(self.value(choice, name)) for name in ("weight_layers", "copies", "weight_bits")}
        points = self.screened(choice[np.newaxis])
        own, on_chip = int(points.cache_channels[0]), not self.index(choice, "cache")
        cache = {"cache_on_chip": on_chip, "cache_channels": own} if self.network.causal else {}
        spec = self.tables.spec(
            rows=rows, lanes=lanes, ffn_lanes=ffn_lanes, score_lanes=score_lanes, arrays=Arrays(**arrays),
            channels=tuple(points.channels[:, 0].tolist()), weight_layers=plain.pop("weight_layers"), **cache,
        )  # fmt: skip
        clock = int(self.value(choice, "clock"))
        return DesignPoint(network=self.network, device=self.device.name, spec=spec, clock_mhz=clock, **plain)

    def columns(self, choices: np.ndarray) -> dict[str, np.ndarray]:
        """What choices stand for, a column for each axis."""
        group = self.index(choices, "group")
        groups = np.array(self.tables.groups)[group]
        found = dict(zip(("rows", "lanes", "ffn_lanes", "score_lanes"), groups.T, strict=True))
        for name in self.arrays:
            options = self.tables.options[name]
            place = options.start[group] + self.index(choices, name)
            found[f"{name}_columns"], found[f"{name}_cascades"] = options.columns[place], options.cascades[place]
        for name in ("weight_layers", "copies", "weight_bits", "clock"):
            found["clock_mhz" if name == "clock" else name] = self.value(choices, name)
        found["cache_on_chip"] = (self.index(choices, "cache") == 0) & self.network.causal
        return found | {"cache_channels": self.screened(choices).cache_channels}
