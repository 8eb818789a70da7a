"""Memory channels for the weights of the linear units: how many each has."""

import numpy as np

from ..kernels.weights import CHANNEL_RAMS

__all__ = ["shared_channels", "usable_channels"]


def shared_channels(channels: int | np.ndarray, rams: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Memory channels of each linear unit, of ``channels`` in all: in proportion to its RAMs, and no more than it
    has use for. ``rams`` and ``columns`` are [units, ...]."""
    return usable_channels(np.rint(channels * rams / rams.sum(axis=0)).astype(np.int64), rams, columns)


def usable_channels(channels: np.ndarray, rams: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """So many channels of each linear unit, but at least one, a group of `CHANNEL_RAMS` RAMs each, and no more than
    columns."""
    return np.maximum(1, np.minimum(np.minimum(channels, -(-rams // CHANNEL_RAMS)), columns))
