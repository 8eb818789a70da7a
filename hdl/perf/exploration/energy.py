"""What a run takes of energy, to compare designs by."""

from typing import Any

from ...model.network import Network
from ..designs.budget import PLANNED
from ..device import Device

__all__ = ["energy_proxy"]

IDLE_SHARE = 0.5
"""Share of a board's watts that flow whatever lies on the device and however it is clocked: an assumption."""


def energy_proxy(device: Device, network: Network, resources: Any, clock_mhz: Any, seconds: Any) -> Any:
    """Joules of a run of ``seconds``, to compare designs by: of the board's watts the `IDLE_SHARE`, and the rest as the
    clock is to the planning clock and the resources, in the order of `Resources`, on average to those that are planned
    to be used. Numbers, or arrays of them."""
    shares = [
        used / (planned * available)
        for used, planned, available in zip(resources, PLANNED.values(), device.resources, strict=True)
        if available
    ]
    busy = sum(shares) / len(shares) * (clock_mhz / device.clock_mhz)
    return device.power.watts * (IDLE_SHARE + (1 - IDLE_SHARE) * busy) * seconds
