"""The fewest cycles that work can take: with two products per cycle in each DSP, and with its bytes at the peak of the
memory."""

from typing import NamedTuple

from ..model.network import Network
from .device import Device

__all__ = ["Limits", "run_limits"]


class Limits(NamedTuple):
    """The fewest cycles by compute and by memory."""

    compute: float
    memory: float

    @property
    def longest(self) -> float:
        """The longer of both limits."""
        return max(self)

    @property
    def bound(self) -> str:
        """The name of the longer limit."""
        return "compute" if self.compute >= self.memory else "memory"

    @classmethod
    def of(cls, macs: float, dsps: int, data: float, bytes_a_cycle: float) -> "Limits":
        """The limits of ``macs`` multiplications in ``dsps`` DSPs, and of ``data`` bytes."""
        return cls(macs / (2 * dsps), data / bytes_a_cycle)


def run_limits(network: Network, device: Device, dsps: int, *, tokens: int, context: int, read: float) -> Limits:
    """The limits of ``tokens`` tokens of a decoder after ``context`` others; the last token passes the head. ``read``:
    bytes from memory."""
    macs = network.layers * network.layer_macs(tokens, context) + network.head_weights
    return Limits.of(macs, dsps, read, device.memory.bytes_a_cycle(device.clock_mhz))
