"""Small decoders for the tests."""

import numpy as np

from hdl.model.gpt2.quantise import quantise
from hdl.model.gpt2.quantised import QuantisedGpt2
from hdl.model.gpt2.weights import random_weights
from hdl.model.spec import Gpt2Spec

SMALL = Gpt2Spec(
    name="small",
    layers=3,
    hidden=48,
    heads=3,
    intermediate=80,
    max_positions=20,
    vocabulary=50,
    layer_norm_eps=1e-5,
    activation="gelu_new",
)
"""Sizes that are no powers of two."""


def texts(spec: Gpt2Spec, lengths: list[int], seed: int = 1) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, spec.vocabulary, length).tolist() for length in lengths]


def quantised(spec: Gpt2Spec = SMALL, seed: int = 1) -> QuantisedGpt2:
    """A decoder of random weights, calibrated on random texts."""
    return quantise(random_weights(spec, seed), texts(spec, [20, 11, 1], seed))
