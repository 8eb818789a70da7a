"""Tensors as a kernel's streams carry them."""

import numpy as np


def as_beats(tensor: np.ndarray, rows: int, lanes: int) -> np.ndarray:
    """[tokens, features] as beats [n, rows, lanes], tile by tile."""
    tokens, features = tensor.shape
    return tensor.reshape(tokens // rows, rows, features // lanes, lanes).swapaxes(1, 2).reshape(-1, rows, lanes)


def row_beats(tensor: np.ndarray, rows: int) -> np.ndarray:
    """What there is of a row [tokens, groups] as beats [n, rows], tile by tile."""
    return as_beats(tensor, rows, 1)[..., 0]


def padded(values: np.ndarray, multiple: int, axis: int, fill: int) -> np.ndarray:
    """``values`` with ``fill`` up to a multiple along an axis."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, -values.shape[axis] % multiple)
    return np.pad(values, widths, constant_values=fill)


def by_head(values: np.ndarray, rows: int, lanes: int) -> np.ndarray:
    """[heads, tokens, keys] as beats in the order tile, head, key."""
    heads, tokens, keys = values.shape
    tiles = values.reshape(heads, tokens // rows, rows, keys).transpose(1, 0, 2, 3)
    return np.concatenate([as_beats(head, rows, lanes) for one in tiles for head in one])
