"""Small networks for the tests."""

from typing import Any

import numpy as np

from hdl.model.architecture import Graph
from hdl.model.network import Network


def bert(name: str, **values: Any) -> Network:
    """A network like BERT of these fields."""
    return Network.of(name, "bert", values)


def gpt2(name: str, **values: Any) -> Network:
    """A network like GPT-2 of these fields."""
    return Network.of(name, "gpt2", values)


def layer(family: str, hidden: int, heads: int, intermediate: int) -> Graph:
    """The layer of a network of a family with these sizes."""
    return sized(family, hidden, heads, intermediate, 8).layer


def head(family: str, hidden: int, vocabulary: int) -> Graph:
    """The head of a network of a family with these sizes."""
    found = sized(family, hidden, 1, 8, vocabulary).head
    assert found is not None
    return found


def sized(family: str, hidden: int, heads: int, intermediate: int, vocabulary: int) -> Network:
    """A network of a family with these sizes."""
    sizes = {"layers": 1, "hidden": hidden, "heads": heads, "intermediate": intermediate, "vocabulary": vocabulary}
    others = {"max_positions": 8, "norm_eps": 1e-5}
    own = {"token_types": 2, "activation": "gelu"} if family == "bert" else {"activation": "gelu_new"}
    return Network.of("sized", family, sizes | others | own)


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
