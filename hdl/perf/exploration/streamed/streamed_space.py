"""The streamed designs that are explored, and how points of them are drawn."""

from dataclasses import dataclass, replace

import numpy as np

from ..kind import Kind
from ..point import DesignPoint
from .streamed_axes import StreamedAxes
from .streamed_points import StreamedPoints

__all__ = ["StreamedSpace"]

SMALL = 0.5
"""Share of the points whose array is drawn by the logarithm of its place in size, the others alike from all there are:
most shapes are large, and small designs are worth as close a look."""


@dataclass(frozen=True, kw_only=True)
class StreamedSpace(StreamedAxes, Kind):
    """All streamed designs of a decoder on a device."""

    name = "streamed"

    def sizes(self, group: np.ndarray) -> list[np.ndarray]:
        """How many choices each axis has, in points whose tile and lanes are these."""
        tables = self.tables
        own = [np.full(len(group), len(tables.groups)), tables.arrays.size[group], tables.attention.size[group]]
        own.append(tables.block_count[group])
        return own + [np.full(len(group), len(self.values[name])) for name in self.axes[4:]]

    def draw(self, seed: int, batch: int, count: int) -> np.ndarray:
        """``count`` points, [points, axes]: the same for the same seed and batch, whatever was drawn before."""
        random = np.random.default_rng([seed, batch])
        group = random.integers(len(self.tables.groups), size=count)
        sizes = np.stack(self.sizes(group), axis=1)
        choices = (random.random((count, len(self.axes))) * sizes).astype(np.int64)
        choices[:, 0] = group
        arrays = self.tables.arrays.size[group]
        by_size = ((arrays + 1) ** random.random(count)).astype(np.int64) - 1
        small = random.random(count) < SMALL
        choices[:, 1] = np.where(small, by_size, choices[:, 1])
        return choices

    def screened(self, choices: np.ndarray) -> StreamedPoints:
        """Points side by side."""
        return StreamedPoints(self, choices)

    def point(self, choice: np.ndarray) -> DesignPoint:
        """The design of a choice, built through its spec."""
        tables = self.tables
        group, array, attention, block = (int(index) for index in choice[:4])
        scores, sums = tables.attention.shapes[group][attention]
        spec = replace(
            tables.bases[group], shape=tables.arrays.shapes[group][array], scores=scores, sums=sums,
            block=int(tables.blocks[group, block]), channels=int(self.value(choice, "channels")),
        )  # fmt: skip
        bits, clock = (int(self.value(choice, name)) for name in ("weight_bits", "clock"))
        return DesignPoint(network=self.network, device=self.device.name, spec=spec, weight_bits=bits, clock_mhz=clock)

    def columns(self, choices: np.ndarray) -> dict[str, np.ndarray]:
        """What choices stand for, a column for each axis."""
        points = self.screened(choices)
        tables = self.tables
        pairs = np.array([pair for group in tables.attention.shapes for pair in group])[points.pair]
        found = {"rows": points.rows, "lanes": np.array(tables.groups)[points.group, 1]}
        shapes = {"array": tables.arrays.flat[points.array], "scores": pairs[:, 0], "sums": pairs[:, 1]}
        for name, shape in shapes.items():
            found[f"{name}_columns"], found[f"{name}_cascades"] = shape.T
        found |= {"block": points.block, "channels": points.ports, "copies": points.copies}
        return found | {"weight_bits": self.value(choices, "weight_bits"), "clock_mhz": points.mhz}
