"""The ranges of a network's tensors over the calibration texts, and whether its weights make anything of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .architecture import Add, Graph, Linear, Norm, Table
from .edges import spread_before
from .floating import Trace, embed, run_graph
from .functions import FUNCTIONS
from .hadamard import spread
from .soundness import Outputs, check_finite, check_words
from .weights import Parameters, Weights, joined

__all__ = ["LARGEST", "LATER", "SMALLEST", "SPREAD", "Ranges", "calibrate"]

Ranges = dict[str, np.ndarray]
"""The largest magnitude of each feature [features] by its tensor; and, of norms and of what goes into a table, its
largest value and the negative of its smallest, by `LARGEST` and `SMALLEST`; and of what is spread before its rows are
quantised, the largest sum by `SPREAD`, and the largest magnitude behind the first token, by `LATER`."""

LARGEST, SMALLEST, SPREAD, LATER = "largest {}", "smallest {}", "spread {}", "later {}"


def calibrate(weights: Weights, calibration: Iterable[Any]) -> list[Ranges]:
    """The ranges over all texts, each the ids of its tokens, by the stages of the weights.

    Raises:
        InputError: for no texts, for ones that do not suit the model, and for weights that make nothing of them.
    """
    if "word" in weights.tables:
        check_words(weights.tables["word"], weights.source)
    ranges: list[Ranges] = [{} for _ in weights.stages]
    outputs = Outputs()
    # What is not finite is refused, with the place where it is.
    with np.errstate(over="ignore", invalid="ignore"):
        for token_ids in calibration:
            x = embed(token_ids, weights)
            for stage, found in zip(weights.stages, ranges, strict=True):
                trace = run_graph(stage.graph, x, stage.parameters, weights.network)
                _widen(found, stage.graph, trace, f"{weights.source}: {stage.name}")
                x = trace[stage.graph.output]
            outputs.widen(token_ids, x, centre=weights.network.head is not None)
    if not outputs.tokens:
        raise InputError("calibration must have at least 1 text, not 0")
    outputs.check(weights.source)
    for stage, found in zip(weights.stages, ranges, strict=True):
        _hold_biases(found, stage.graph, stage.parameters, f"{weights.source}: {stage.name}")
    return ranges


def _widen(ranges: Ranges, graph: Graph, trace: Trace, where: str) -> None:
    """Makes ``ranges`` hold the values of another text's trace too. ``where`` is named in errors.

    Raises:
        InputError: for values that are not finite.
    """
    for name, values in trace.items():
        check_finite(values, f"{where} {name}")
        _raise(ranges, name, np.abs(values).max(axis=0))
    for linear in graph.of(Linear):
        if block := spread_before(graph, linear):
            _raise(ranges, SPREAD.format(linear.source), np.abs(spread(trace[linear.source], block)).max(axis=0))
            _raise(ranges, LATER.format(linear.source), np.abs(trace[linear.source][1:]).max(axis=0, initial=0))
    for name in _signed(graph):
        _raise(ranges, LARGEST.format(name), trace[name].max(axis=0))
        _raise(ranges, SMALLEST.format(name), (-trace[name]).max(axis=0))


def _signed(graph: Graph) -> Sequence[str]:
    """The tensors whose greatest and smallest values are found."""
    return [norm.name for norm in graph.of(Norm)] + [table.source for table in graph.of(Table)]


def _raise(ranges: Ranges, name: str, largest: np.ndarray) -> None:
    own = largest.astype(np.float64)
    ranges[name] = np.maximum(ranges.get(name, own), own)


def _hold_biases(ranges: Ranges, graph: Graph, parameters: Parameters, where: str) -> None:
    """Makes ``ranges`` hold the biases of what is added to the residual stream: the stream must hold them, even where
    the weights' sums nearly cancel them. What the zero point of rows makes of their weights belongs to the bias."""
    branches = {add.branch for add in graph.of(Add)}
    for linear in graph.of(Linear):
        if not branches & linear.gives.keys():
            continue
        whole, maker = joined(linear, parameters), graph.maker(linear.source)
        bias = whole.bias
        if isinstance(maker, Table):
            bias = bias + FUNCTIONS[maker.function].least * whole.weight.sum(axis=1)
        check_finite(bias, f"{where} {linear.name}")
        _raise(ranges, linear.parts[0].name, np.abs(bias))
