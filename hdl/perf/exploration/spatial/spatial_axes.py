"""The axes of the spatial designs that are explored, and the figures of their options."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from ....model.network import Network
from ...choice.off_chip import cache_choices
from ...designs.budget import PLANNED
from ...geometry.arrays import array_names
from ...geometry.weight_channels import weight_channels
from ..axes import TABLES, Axes
from .spatial_tables import SpatialTables

__all__ = ["MAX_COPIES", "SpatialAxes"]

MAX_COPIES = 8


@dataclass(frozen=True, kw_only=True)
class SpatialAxes(Axes):
    """The axes of all spatial designs of a network on a device.

    ``every``: all shapes there are of every array, for networks small enough to enumerate; else those that no other
    beats in both cycles and DSPs, as the chooser takes them.

    Raises:
        InputError: for a network that has no geometry, when `tables` are asked for.
    """

    every: bool = False

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of a layer."""
        return array_names(self.network.layer)

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The columns of a choice, each an index: tile and lanes; the shapes of the arrays; layers whose weights are
        resident; copies of the layer's hardware; bits of a weight; the clock; whether the KV cache lies on chip."""
        return ("group", *self.arrays, "weight_layers", "copies", "weight_bits", "clock", "cache")

    @cached_property
    def tables(self) -> SpatialTables:
        """The figures of every option of every unit."""
        return tables_of(self.network, self.prompt, self.output, self.every)

    @cached_property
    def copies(self) -> tuple[int, ...]:
        """Copies of the layer's hardware: divisors of the layers of which the smallest have the DSPs."""
        layers, tables = self.network.layers, self.tables
        room = PLANNED["dsp"] * self.device.resources.dsp // tables.least_dsps
        return tuple(c for c in range(1, MAX_COPIES + 1) if layers % c == 0 and c <= max(1, room))

    @cached_property
    def values(self) -> dict[str, tuple[int, ...]]:
        """What the indices of the axes stand for that all groups share, and the channels that follow from them."""
        own = {"weight_layers": (1, 2), "copies": self.copies, "weight_bits": self.weight_bits, "clock": self.clocks}
        return own | {"channels": self.channels, "cache_channels": self.cache_channels}

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Memory channels for the weights of all copies, of each number of bits."""
        return tuple(
            weight_channels(self.device, causal=self.network.causal, weight_bits=bits) for bits in self.weight_bits
        )

    @cached_property
    def cache_channels(self) -> tuple[int, ...]:
        """Memory channels that keys, and values, of each copy may have, where they lie off chip."""
        return cache_choices(self.network.head_size)


@lru_cache(maxsize=TABLES)
def tables_of(network: Network, prompt: int, output: int, every: bool) -> SpatialTables:
    """`SpatialTables.build`, which are the same on every device."""
    return SpatialTables.build(network, prompt, output, every=every)
