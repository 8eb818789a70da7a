"""Tensors as a kernel's streams carry them."""

import numpy as np


def as_beats(tensor: np.ndarray, rows: int, lanes: int) -> np.ndarray:
    """[tokens, features] as beats [n, rows, lanes], tile by tile."""
    tokens, features = tensor.shape
    return tensor.reshape(tokens // rows, rows, features // lanes, lanes).swapaxes(1, 2).reshape(-1, rows, lanes)


def row_beats(tensor: np.ndarray, rows: int) -> np.ndarray:
    """What there is of a row [tokens, groups] as beats [n, rows], tile by tile."""
    return as_beats(tensor, rows, 1)[..., 0]
