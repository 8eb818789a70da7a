"""Small networks for the tests."""

from functools import cache
from typing import Any

import numpy as np

from hdl.model.architecture import Graph
from hdl.model.network import Network
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.weights import Dense, NormWeights, Parameters, random_weights


def bert(name: str, **values: Any) -> Network:
    """A network like BERT of these fields."""
    return Network.of(name, "bert", {"token_types": 2, "norm_eps": 1e-12, "activation": "gelu"} | values)


def gpt2(name: str, **values: Any) -> Network:
    """A network like GPT-2 of these fields."""
    return Network.of(name, "gpt2", {"norm_eps": 1e-5, "activation": "gelu_new"} | values)


def sized(family: str, hidden: int, heads: int, intermediate: int, vocabulary: int) -> Network:
    """A network of a family with these sizes."""
    sizes = {"layers": 1, "hidden": hidden, "heads": heads, "intermediate": intermediate, "vocabulary": vocabulary}
    return {"bert": bert, "gpt2": gpt2}[family]("sized", max_positions=8, **sizes)


def layer(family: str, hidden: int, heads: int, intermediate: int) -> Graph:
    """The layer of a network of a family with these sizes."""
    return sized(family, hidden, heads, intermediate, 8).layer


def head(family: str, hidden: int, vocabulary: int) -> Graph:
    """The head of a network of a family with these sizes."""
    found = sized(family, hidden, 1, 8, vocabulary).head
    assert found is not None
    return found


SMALL_BERT = bert("small", layers=2, hidden=48, heads=3, intermediate=80, max_positions=20, vocabulary=50)
SMALL_GPT2 = gpt2("small", layers=3, hidden=48, heads=3, intermediate=80, max_positions=20, vocabulary=50)
"""Sizes that are no powers of two."""

SMALL = {"bert": SMALL_BERT, "gpt2": SMALL_GPT2}


def texts(network: Network, lengths: list[int], seed: int = 1) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, network.vocabulary, length).tolist() for length in lengths]


@cache
def quantised(network: Network, seed: int = 1, **options: Any) -> Quantised:
    """A network of random weights, calibrated on random texts."""
    return quantise(random_weights(network, seed), texts(network, [20, 11, 20, 1], seed), **options)


def dense(parameters: Parameters, name: str) -> Dense:
    """A part of a linear operator."""
    found = parameters[name]
    assert isinstance(found, Dense)
    return found


def norm(parameters: Parameters, name: str) -> NormWeights:
    """A norm."""
    found = parameters[name]
    assert isinstance(found, NormWeights)
    return found
