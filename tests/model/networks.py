"""Small networks for the tests."""

from typing import Any

import numpy as np

from hdl.model.network import Network


def bert(name: str, **values: Any) -> Network:
    """A network like BERT of these fields."""
    return Network.of(name, "bert", values)


def gpt2(name: str, **values: Any) -> Network:
    """A network like GPT-2 of these fields."""
    return Network.of(name, "gpt2", values)


SMALL = bert(
    name="small",
    layers=2,
    hidden=48,
    heads=3,
    intermediate=80,
    max_positions=20,
    vocabulary=50,
    token_types=2,
    norm_eps=1e-12,
    activation="gelu",
)
"""Sizes that are no powers of two."""


def texts(spec: Network, lengths: list[int], seed: int = 1) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, spec.vocabulary, length).tolist() for length in lengths]
