"""Small networks for the tests."""

import numpy as np

from hdl.model.spec import BertSpec

SMALL = BertSpec(
    name="small",
    layers=2,
    hidden=48,
    heads=3,
    intermediate=80,
    max_positions=20,
    vocabulary=50,
    token_types=2,
    layer_norm_eps=1e-12,
    activation="gelu",
)
"""Sizes that are no powers of two."""


def texts(spec: BertSpec, lengths: list[int], seed: int = 1) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, spec.vocabulary, length).tolist() for length in lengths]
