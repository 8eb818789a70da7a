"""Quantises the operators of a graph, one after the other, between tensors whose scales it finds on the way.

Weights get a scale for each output channel; queries and keys one for each head, values one for each feature, by their
ranges on the calibration texts; so do the int16 tensors. The rows before the linear operators are quantised by the
hardware, each by its own maximum, or by the range that calibration found where limits are ``static``.

**Balance.** Some features of a norm's result are much larger than the others and leave them few of a row's 127 levels.
So a feature's scale may be smaller where its values are small beside its weights: the norm's factors and the weights
take that in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

import numpy as np

from ..errors import InputError
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from .architecture import Add, Attention, Linear, Norm, Table
from .calibrate import LARGEST, SMALLEST, Ranges
from .edges import Scale, edges
from .functions import FUNCTIONS
from .lowering import numeric_specs
from .network import Network
from .quantised import QuantisedGraph
from .rounding import NearestRounding
from .scaling import (
    INT16,
    MARGIN,
    TINY,
    attention_scales,
    free_scales,
    least_norm_scales,
    least_scales,
    norm_parameters,
    requantise_channels,
    shift_channels,
)
from .streams import Streams
from .weights import Dense, Stage, joined, linear_readers

__all__ = ["GraphQuantiser"]

INT8 = (1 << 7) - 1
UINT16 = (1 << 16) - 1
ROW_LEVELS, UNSIGNED_ROW_LEVELS = 127, 255

CONTEXT_FACTOR = 2.0**-22
"""The constant in a softmax's row factor."""

FUNCTION_RANGE = 4.0
"""The least range of a table to either side, for layers whose calibration saw only small values."""

INDISTINCT = INT16 / ROW_LEVELS
"""How many last places a feature may differ by within one level of a full row."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Says of which operator a number is out of range."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{where}: {error}; are these the weights of a trained model?") from None


class GraphQuantiser:
    """Quantises a ``stage`` of a network with the given ``ranges``. ``streams``: the residual path, or the scale of the
    graph's input alone.
    """

    def __init__(
        self,
        network: Network,
        stage: Stage,
        ranges: Ranges,
        streams: Streams,
        rounding: NearestRounding,
        *,
        static: bool,
    ):
        self.where, self.graph, self.parameters = stage
        self.specs = numeric_specs(network, self.graph)
        self.edges = edges(self.graph, looped=self.graph == network.layer)
        self.ranges, self.streams, self.epsilon = ranges, streams, network.norm_eps
        self.rounding, self.static = rounding, static
        self.scales: dict[str, np.ndarray] = dict(streams.scales)
        self.weights: dict[str, np.ndarray] = {}
        self.limits: dict[str, int] = {}
        self.channels: dict[str, ChannelParameters] = {}
        self.norms: dict[str, NormParameters] = {}
        self.tables: dict[str, np.ndarray] = {}

    def quantised(self) -> QuantisedGraph:
        """The graph's integers.

        Raises:
            InputError: for weights that the integer formats cannot hold, with the operator.
        """
        for operator in self.graph:
            with naming(f"{self.where} {operator.name}"):
                operator.visit(self)
        return QuantisedGraph(
            weights=self.weights, limits=self.limits, channels=self.channels, norms=self.norms, tables=self.tables,
            scales=self.scales,
        )  # fmt: skip

    def add(self, operator: Add) -> None:
        self.channels[operator.name] = shift_channels(self.streams.shifts[operator.name])

    def norm(self, operator: Norm) -> None:
        """Its words. Where its result goes to linear operators alone, every feature has the scale that suits it and its
        weights, unless its words need a larger one: where a feature of the stream is nearly the same in all rows, gamma
        times it may cancel a beta that is far larger than the result. A feature whose results then differ by less than
        what the larger scale and the rows' 8 bits can tell apart becomes a constant, which needs no larger scale."""
        own, name, kernel = self.parameters[operator.name], operator.name, self.specs[operator.name]
        epsilon = self.epsilon / float(self.scales[operator.source]) ** 2
        gamma, beta = own.gamma, own.beta
        if self.edges[name].scale is Scale.FEATURE:
            free = free_scales(self.ranges[name], linear_readers(self.graph, name, self.parameters))
            least = least_norm_scales(kernel, gamma, beta, epsilon)
            largest, smallest = self.ranges[LARGEST.format(name)], -self.ranges[SMALLEST.format(name)]
            constant = (least > free) & (largest - smallest < INDISTINCT * least)
            self.scales[name] = np.where(constant, free, np.maximum(free, least))
            gamma, beta = np.where(constant, 0, gamma), np.where(constant, (largest + smallest) / 2, beta)
        self.norms[name] = norm_parameters(kernel, gamma / self.scales[name], beta / self.scales[name], epsilon)

    def attention(self, operator: Attention) -> None:
        """The words of softmax and of the weighted sums. Between values and projection a scale of its own for each
        feature costs nothing."""
        name, values = operator.name, self.scales[operator.values]
        queries, keys = (
            self.scales[tensor].reshape(-1, operator.head_size)[:, 0] for tensor in (operator.queries, operator.keys)
        )
        self.channels["scores"] = attention_scales(queries * keys / sqrt(operator.head_size))
        none = np.zeros(len(values))
        free = free_scales(self.ranges[name], linear_readers(self.graph, name, self.parameters))
        self.scales[name] = np.maximum(free, least_scales(values * CONTEXT_FACTOR, none))
        self.channels[name] = requantise_channels(values * CONTEXT_FACTOR / self.scales[name], none)

    def table(self, operator: Table) -> None:
        scale = float(self.scales[operator.source])
        self.tables[operator.name], found = FUNCTIONS[operator.function].table(scale)
        self.scales[operator.name] = np.array(found)

    def linear(self, operator: Linear) -> None:
        """int8 weights and channel words; the sums fit whatever the rows."""
        name, dense = operator.name, joined(operator, self.parameters)
        source, zero_point = self.scales[operator.source], self.edges[operator.source].zero_point
        input_scales = np.ones(operator.inputs) if zero_point else np.broadcast_to(source, operator.inputs)
        bias = self._set_scales(operator, dense, input_scales)
        outputs = np.concatenate([np.broadcast_to(self.scales[part.name], part.features) for part in operator.parts])
        integers, scale = self.rounding(name, dense.weight * input_scales, input_scales)
        gain, column_sum = scale / ROW_LEVELS, np.zeros(1, dtype=np.int64)
        if zero_point:
            # A row's 0 stands for the least value that the tensor can have.
            column_sum = integers.astype(np.int64).sum(axis=1)
            bias = bias + self._least(operator.source) * scale * column_sum
            gain = scale * float(source) / UNSIGNED_ROW_LEVELS
        self.weights[name] = integers
        self.limits[name] = self._limit(operator.source) if self.static else 0
        self.channels[name] = requantise_channels(gain / outputs, bias / outputs, column_sum)

    def _set_scales(self, operator: Linear, dense: Dense, input_scales: np.ndarray) -> np.ndarray:
        """Finds the scales of a linear operator's results; returns its bias, perhaps with dead features raised."""
        if isinstance(table := (self.graph.readers(operator.parts[0].name) or (None,))[0], Table):
            bias, self.scales[table.source] = self._table_scale(table, dense, input_scales)
            return bias
        for part in operator.parts:
            edge, own = self.edges[part.name], self.parameters[part.name]
            if edge.bits == 8:
                least = _least_scales(own, input_scales)
                found = np.maximum(np.maximum(self.ranges[part.name], TINY) / INT8, least)
                if edge.scale is Scale.HEAD:
                    size = self._head_size
                    found = np.repeat(found.reshape(-1, size).max(axis=1), size)
                self.scales[part.name] = found
            elif part.name not in self.scales:
                largest = float(self.ranges[part.name].max())
                self.scales[part.name] = np.array(MARGIN * max(largest, TINY) / INT16)
        return dense.bias

    @property
    def _head_size(self) -> int:
        return self.graph.of(Attention)[0].head_size

    def _table_scale(self, table: Table, dense: Dense, input_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Biases [features], and the scale of what a table takes.

        A bias that the range does not hold is raised by what makes no difference, where the function remains 0.
        """
        largest = self.ranges[LARGEST.format(table.source)]
        reach = max(MARGIN * largest.max(), FUNCTION_RANGE)
        raised = dense.bias + np.maximum(-FUNCTION_RANGE - largest, 0)
        bias = np.where(np.abs(dense.bias) > reach, raised, dense.bias)
        least = _least_scales(Dense(dense.weight, bias), input_scales)
        return bias, np.array(max(reach / INT16, float(least.max())))

    def _least(self, tensor: str) -> float:
        """The least value that a tensor with a zero point can have."""
        maker = self.graph.maker(tensor)
        assert isinstance(maker, Table)
        return FUNCTIONS[maker.function].least

    def _limit(self, tensor: str) -> int:
        """The largest integer that calibration saw in a row before a linear operator."""
        maker = self.graph.maker(tensor)
        if not isinstance(maker, Table):
            return min(max(1, int(np.ceil((self.ranges[tensor] / self.scales[tensor]).max()))), INT16)
        function, largest = FUNCTIONS[maker.function], float(self.ranges[LARGEST.format(maker.source)].max())
        activated = (max(function.exact(largest), 0.0) - function.least) / float(self.scales[tensor])
        return min(max(1, int(np.ceil(activated))), UINT16)


def _least_scales(dense: Dense, input_scales: np.ndarray) -> np.ndarray:
    """The least scales [outputs] of what a linear operator with signed rows gives: its words hold its
    weights and biases."""
    scale = np.abs(dense.weight * input_scales).max(axis=1) / INT8
    return least_scales(MARGIN * scale / ROW_LEVELS, dense.bias)
