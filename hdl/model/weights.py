"""The weights of a network in float32, and random ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .architecture import Add, Attention, Graph, Linear, Norm, Rotary
from .network import Network

__all__ = ["Dense", "NormWeights", "Parameters", "Stage", "Weights", "joined", "linear_readers", "random_weights"]

MOST_DRAWN = 1 << 31
"""Random weights of a model: more than gpt2-xl has, the largest that is built in."""


@dataclass(frozen=True)
class Dense:
    """A linear operator y = x W^T + b, or a part of one: ``weight`` [outputs, inputs], ``bias`` [outputs], float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class NormWeights:
    """A norm's ``gamma`` and ``beta`` [features], float32; an RMSNorm's ``beta`` is 0."""

    gamma: np.ndarray
    beta: np.ndarray


Parameters = Mapping[str, Any]
"""The operators of a graph that have weights: `NormWeights` by the name of the norm, and `Dense` by that of a part of a
linear operator."""


class Stage(NamedTuple):
    """A graph of a network with the parameters of its operators; and its ``name``, ``layer 0`` or ``head``."""

    name: str
    graph: Graph
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A whole network.

    ``tables`` [rows, hidden] by name; ``embedding``, ``head`` and ``closing``: parameters of the graphs before the
    first layer and after the last, empty without one; ``layers``: those of each layer. ``source`` says in a few words
    where the weights come from.
    """

    network: Network
    tables: Mapping[str, np.ndarray]
    embedding: Parameters
    layers: tuple[Parameters, ...]
    head: Parameters
    closing: Parameters
    source: str

    @property
    def stages(self) -> list[Stage]:
        """What the device computes: the layers, then the head if there is one."""
        network = self.network
        layers = [Stage(f"layer {index}", network.layer, layer) for index, layer in enumerate(self.layers)]
        return layers + ([Stage("head", network.head, self.head)] if network.head else [])


def linear_readers(graph: Graph, tensor: str, parameters: Parameters) -> list[Dense]:
    """The linear operators of a graph that read a tensor, part by part."""
    linears = [reader for reader in graph.readers(tensor) if isinstance(reader, Linear)]
    return [parameters[part.name] for linear in linears for part in linear.parts]


def joined(operator: Linear, parameters: Parameters) -> Dense:
    """A whole linear operator: its parts, one after the other."""
    parts = [parameters[part.name] for part in operator.parts]
    return Dense(np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts]))


UNEQUAL, ATTENDED = 1.4, 0.7
"""The deviations of what linear operators make of inputs of deviation 1, where they are not 1: of queries and keys, as
attention is unequal, and of the result of attention."""

WORD_SPREAD = 0.14
"""Of the words' vectors that enter a residual stream as they are."""

OUTLIER = 8
"""How much larger the outlier features of a residual stream are."""


class Draw:
    """Draws operators by a seed, whose activations are like a trained model's.

    Raises:
        InputError: for a ``network`` whose weights are more than a machine is likely to have room for.
    """

    def __init__(self, network: Network, seed: int):
        if (numbers := network.parameters) > MOST_DRAWN:
            raise InputError(
                f"random weights of model {network.name!r} must be at most {MOST_DRAWN:,} numbers (8 GiB), "
                f"not {numbers:,}; choose a smaller shape"
            )
        self.generator = np.random.default_rng(seed)

    def normal(self, *shape: int, spread: float) -> np.ndarray:
        """An array of this standard deviation."""
        return self.generator.standard_normal(shape, dtype=np.float32) * np.float32(spread)

    def dense(self, outputs: int, inputs: int, gain: float) -> Dense:
        """A linear operator that makes of inputs of deviation 1 outputs of deviation ``gain``."""
        return Dense(self.normal(outputs, inputs, spread=gain / np.sqrt(inputs)), self.normal(outputs, spread=0.1))

    def norm(self, norm: Norm) -> NormWeights:
        """A norm with a few outlier features."""
        features = norm.factors
        gamma = np.abs(1 + self.normal(features, spread=0.2))
        outliers = self.generator.choice(features, max(1, features // 128), replace=False)
        gamma[outliers] *= 4
        beta = self.normal(features, spread=0.2)
        return NormWeights(gamma, np.zeros_like(beta) if norm.root_mean_square else beta)

    def graph(self, graph: Graph | None, *, tied: bool = False) -> dict[str, Any]:
        """The parameters of a graph; those of linear operators that are ``tied`` take a table's matrix."""
        found: dict[str, Any] = {}
        attentions = graph.of(Attention) if graph else ()
        gains = {name: UNEQUAL for one in attentions for name in (one.queries, one.keys)}
        for operator in reversed(graph.operators if graph else ()):
            if isinstance(operator, Rotary) and operator.name in gains:
                gains[operator.source] = gains[operator.name]
        for operator in graph or ():
            if isinstance(operator, Norm):
                found[operator.name] = self.norm(operator)
            elif isinstance(operator, Linear) and not tied:
                gain = ATTENDED if any(operator.source == one.name for one in attentions) else 1.0
                for part in operator.parts:
                    own = self.dense(part.features, operator.inputs, gains.get(part.name, gain))
                    found[part.name] = own if operator.bias else Dense(own.weight, np.zeros_like(own.bias))
        return found


def random_weights(network: Network, seed: int) -> Weights:
    """Weights drawn by ``seed``, with activations like a trained model's: unequal attention, a few outlier features,
    and a residual stream that grows from layer to layer where no norm is in its way.

    (BERT's own initial weights are no stand-in for trained ones: their scores are near 0, their attention is flat.)

    Raises:
        InputError: see `Draw`.
    """
    draw = Draw(network, seed)
    last = network.layer.maker(network.layer.output)
    stream = not isinstance(last, Norm)
    # Without a norm, the spreads of the published GPT-2's tables.
    spreads = {"position": 0.05} if stream else {"word": 1.0, "position": 0.3, "token_type": 0.1}
    tables = {
        name: draw.normal(rows, network.hidden, spread=spreads.get(name, WORD_SPREAD))
        for name, rows in network.embedding.tables.items()
    }
    features = network.hidden
    outliers = draw.generator.choice(features, max(1, features // 256) if stream else 0, replace=False)
    if stream:
        tables["position" if "position" in tables else "word"][:, outliers] += OUTLIER * WORD_SPREAD
    layers = []
    for _ in range(network.layers):
        layer = draw.graph(network.layer)
        if isinstance(last, Add) and layer[last.branch].bias.any():
            layer[last.branch].bias[outliers] += 1
        layers.append(layer)
    return Weights(
        network=network,
        tables=tables,
        embedding=draw.graph(network.embedding.graph),
        layers=tuple(layers),
        head=with_table(network.head, draw.graph(network.head, tied=network.tied), tables),
        closing=draw.graph(network.closing),
        source=f"random weights, seed {seed}",
    )


def with_table(graph: Graph | None, parameters: Parameters, tables: Mapping[str, np.ndarray]) -> Parameters:
    """A head's ``parameters``, with the table of words as the matrix of a linear operator that is tied to it."""
    tied = {
        part.name: Dense(tables["word"], np.zeros(part.features, dtype=np.float32))
        for operator in (graph.of(Linear) if graph else ())
        for part in operator.parts
        if part.name not in parameters
    }
    return {**parameters, **tied}
