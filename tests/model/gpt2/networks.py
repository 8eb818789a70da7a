"""Small decoders for the tests."""

import numpy as np

from hdl.model.network import Network
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.weights import random_weights

from ..networks import gpt2

SMALL = gpt2(
    name="small",
    layers=3,
    hidden=48,
    heads=3,
    intermediate=80,
    max_positions=20,
    vocabulary=50,
    norm_eps=1e-5,
    activation="gelu_new",
)
"""Sizes that are no powers of two."""


def texts(spec: Network, lengths: list[int], seed: int = 1) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, spec.vocabulary, length).tolist() for length in lengths]


def quantised(spec: Network = SMALL, seed: int = 1) -> Quantised:
    """A decoder of random weights, calibrated on random texts."""
    return quantise(random_weights(spec, seed), texts(spec, [20, 11, 1], seed))
