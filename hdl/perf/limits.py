"""The least cycles that work can take: two products a cycle in each DSP, and its bytes at the memory's peak."""

from typing import NamedTuple

from ..model.network import Network
from .device import Device

__all__ = ["Limits", "run_limits"]


class Limits(NamedTuple):
    """Cycles, by what bounds them."""

    compute: float
    memory: float

    @property
    def longest(self) -> float:
        """The limit that counts."""
        return max(self)

    @property
    def bound(self) -> str:
        """Which of them it is."""
        return "compute" if self.compute >= self.memory else "memory"

    @classmethod
    def of(cls, macs: float, dsps: int, data: float, bytes_a_cycle: float) -> "Limits":
        """Of so many multiplications in so many DSPs, and so many bytes."""
        return cls(macs / (2 * dsps), data / bytes_a_cycle)


def run_limits(network: Network, device: Device, dsps: int, *, tokens: int, context: int, read: float) -> Limits:
    """Of ``tokens`` tokens of a decoder behind ``context`` others, the last one through the head, ``read`` bytes."""
    macs = network.layers * network.layer_macs(tokens, context) + network.head_weights
    return Limits.of(macs, dsps, read, device.memory.bytes_a_cycle(device.clock_mhz))
