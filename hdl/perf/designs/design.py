"""A design of a network, of either kind, and what it does in a phase: cycles, bytes, and what bounds them."""

from collections.abc import Mapping
from typing import Any, Protocol

from ...model.network import Network
from ...resources import Resources
from ..device import Memory
from .phase import Phase

__all__ = ["Design"]


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
