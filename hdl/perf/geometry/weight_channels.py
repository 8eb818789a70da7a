"""Memory channels for the weights of the linear units: how many there are, and how many each unit has."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...kernels.weights import CHANNEL_RAMS, channel_rams
from ..device import Device
from .arrays import ArrayShape

__all__ = ["channels_of_shapes", "copy_channels", "shared_channels", "usable_channels", "weight_channels"]


def weight_channels(device: Device, *, causal: bool, weight_bits: int = 8) -> int:
    """Memory channels for the weights: of a decoder, whose tokens take them all, every port but that of the parameters
    and the embedding.

    Three of four ports are enough for an encoder, and for weights of 4 bits, of which a channel brings more than it
    can unpack in a cycle.
    """
    ports = device.memory.ports
    return max(1, ports - 1 if causal and weight_bits == 8 else 3 * ports // 4)


def copy_channels(channels: Any, device: Device, copies: Any, cache_ports: Any) -> Any:
    """Channels for the weights of each of some copies of the hardware, of so many in all: each also has a port for its
    parameters, and ``cache_ports`` for keys and values. Numbers, or arrays of them."""
    return np.minimum(channels // copies, device.memory.ports // copies - 1 - cache_ports)


def shared_channels(channels: int | np.ndarray, rams: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Memory channels of each linear unit, of ``channels`` in all (at least one each): as equal as can be in the RAMs
    that each feeds, and no more than a unit has use for. ``rams`` and ``columns`` are [units, ...]."""
    channels, rams = np.broadcast_arrays(channels, rams)
    found = np.maximum(1, channels * rams // rams.sum(axis=0))
    units = np.arange(len(rams)).reshape(-1, *[1] * (rams.ndim - 1))
    for _ in range(len(rams) - 1):
        # One more to whose channels feed the most, while there are any.
        most = np.argmax(rams / found, axis=0)
        found = found + ((units == most) & (found.sum(axis=0) < channels[0]))
    return usable_channels(found, rams, columns)


def channels_of_shapes(channels: int, shapes: Iterable[ArrayShape]) -> tuple[int, ...]:
    """`shared_channels` of linear units with arrays of those shapes."""
    columns, cascades = np.array([*shapes]).T
    return tuple(shared_channels(channels, columns * cascades, columns).tolist())


def usable_channels(channels: np.ndarray, rams: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """So many channels of each linear unit, but at least one, a beat of `CHANNEL_RAMS` RAMs each, and no more than
    columns, nor than equal shares of RAMs need."""
    found = np.maximum(1, np.minimum(np.minimum(channels, channel_rams(rams, CHANNEL_RAMS)), columns))
    return np.asarray(channel_rams(rams, channel_rams(rams, found)))
