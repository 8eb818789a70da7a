"""The axes of the streamed designs that are explored, and the figures of their options."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from ....model.network import Network
from ..axes import TABLES, Axes
from .streamed_tables import StreamedTables

__all__ = ["StreamedAxes"]


@dataclass(frozen=True, kw_only=True)
class StreamedAxes(Axes):
    """The axes of all streamed designs of a decoder on a device: tile and lanes; the shape of the array; those of
    attention's; the block of tiles that is held; memory channels; bits of a weight; the clock."""

    @property
    def axes(self) -> tuple[str, ...]:
        """See `Axes`."""
        return ("group", "array", "attention", "block", "channels", "weight_bits", "clock")

    @cached_property
    def tables(self) -> StreamedTables:
        """The figures of every option."""
        return tables_of(self.network, self.prompt, self.output)

    @cached_property
    def values(self) -> dict[str, tuple[int, ...]]:
        """What the indices of the axes stand for that all groups share; channels: quarters of the memory's ports."""
        ports = self.device.memory.ports
        channels = tuple(sorted({max(1, ports * quarters // 4) for quarters in (1, 2, 3, 4)}))
        return {"channels": channels, "weight_bits": self.weight_bits, "clock": self.clocks}


@lru_cache(maxsize=TABLES)
def tables_of(network: Network, prompt: int, output: int) -> StreamedTables:
    """`StreamedTables.build`, which are the same on every device."""
    return StreamedTables.build(network, prompt, output)
