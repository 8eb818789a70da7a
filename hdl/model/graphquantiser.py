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
from .architecture import Add, Attention, Gate, HeadNorm, Linear, Norm, Rotary, Table
from .calibrate import LARGEST, LATER, SMALLEST, SPREAD, Ranges
from .edges import Scale, edges
from .functions import FUNCTIONS
from .hadamard import spread
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
from .units import EXPONENTIAL_STEPS, ROTARY_FRACTION, GroupedAttentionSpec, SpreadRowsSpec
from .weights import Dense, Stage, joined, linear_readers

__all__ = ["GraphQuantiser"]

INT8 = (1 << 7) - 1
UINT16 = (1 << 16) - 1
ROW_LEVELS, UNSIGNED_ROW_LEVELS = 127, 255

CONTEXT_FACTOR = 2.0**-22
"""The constant in a softmax's row factor."""

FUNCTION_RANGE = 4.0
"""The least range of a table to either side, for layers whose calibration saw only small values."""

GATE_MARGIN = 4
"""As `MARGIN`, of the products of gates."""

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
        self.turned_places: dict[str, np.ndarray] = {}

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

    def headnorm(self, operator: HeadNorm) -> None:
        """Its words. All heads have the same, so their results have the same scale."""
        own, name = self.parameters[operator.name], operator.name
        epsilon = self.epsilon / float(self.scales[operator.source]) ** 2
        self.scales[name] = self._turned_scales(self._turning(name), name, np.zeros(operator.features))[:1]
        scale = float(self.scales[name][0])
        self.norms[name] = norm_parameters(self.specs[name], own.gamma / scale, own.beta / scale, epsilon)

    def rotary(self, operator: Rotary) -> None:
        """Its shifts: `_turned_scales` has found the scales before."""
        name, places = operator.name, self.turned_places[operator.name]
        self.scales[name] = np.ldexp(self.scales[operator.source], np.repeat(places, operator.head_size))
        self.channels[name] = shift_channels(ROTARY_FRACTION + places)

    def gate(self, operator: Gate) -> None:
        """The shift of its products, and the zero point of the activated values. What is spread afterwards must be
        within 16 bits too. Products reach further beyond the ranges that calibration found than their factors do; those
        of first tokens, which may be massive, do not, as these are much the same in all texts."""
        name = operator.name
        product = float(self.scales[operator.gate]) * float(self.scales[operator.values])
        later = float(self.ranges.get(LATER.format(name), np.zeros(1)).max())
        reach = max(MARGIN * max(TINY, self.ranges[name].max(), *self._spread_ranges(name)), GATE_MARGIN * later)
        shift = max(0, int(np.ceil(np.log2(reach / INT16 / product))))
        self.scales[name] = np.array(np.ldexp(product, shift))
        zero = -self._least(operator.gate) / float(self.scales[operator.gate])
        none = np.zeros(1, dtype=np.int64)
        self.channels[name] = ChannelParameters(
            factor=none, shift=none + shift, bias=none + round(zero), column_sum=none
        )

    def _spread_ranges(self, tensor: str) -> list[float]:
        """The largest values of a tensor after it is spread for each of its readers, in its own scale."""
        specs = [self.specs[linear.name][0] for linear in self.graph.readers(tensor) if isinstance(linear, Linear)]
        largest = float(self.ranges.get(SPREAD.format(tensor), np.zeros(1)).max())
        return [largest / (1 << spec.places) for spec in specs if isinstance(spec, SpreadRowsSpec)]

    def attention(self, operator: Attention) -> None:
        """The words of softmax and of the weighted sums. Between values and projection a scale of its own for each
        feature costs nothing."""
        name, group = operator.name, operator.heads // operator.kv_heads
        size = operator.head_size
        queries, keys = (self.scales[tensor].reshape(-1, size)[:, 0] for tensor in (operator.queries, operator.keys))
        values = np.repeat(self.scales[operator.values].reshape(-1, size), group, axis=0).reshape(-1)
        gain, factor, whole = queries * np.repeat(keys, group) / sqrt(size), CONTEXT_FACTOR, self.specs[name][0]
        if isinstance(whole, GroupedAttentionSpec):
            factor = float(np.ldexp(factor, whole.places))
            self.channels["scores"] = attention_scales(gain / ROW_LEVELS, EXPONENTIAL_STEPS)
        else:
            self.channels["scores"] = attention_scales(gain)
        none = np.zeros(len(values))
        free = free_scales(self.ranges[name], linear_readers(self.graph, name, self.parameters))
        self.scales[name] = np.maximum(free, least_scales(values * factor, none))
        self.channels[name] = requantise_channels(values * factor / self.scales[name], none)

    def table(self, operator: Table) -> None:
        scale = float(self.scales[operator.source])
        self.tables[operator.name], found = FUNCTIONS[operator.function].table(scale)
        self.scales[operator.name] = np.array(found)

    def linear(self, operator: Linear) -> None:
        """int8 weights and channel words; the sums fit whatever the rows."""
        name, dense = operator.name, joined(operator, self.parameters)
        source, zero_point = self.scales[operator.source], self.edges[operator.source].zero_point
        if isinstance(rows := self.specs[name][0], SpreadRowsSpec):
            source = source * rows.gain
            dense = Dense(spread(dense.weight, rows.block) / np.float32(sqrt(rows.block)), dense.bias)
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
        biases, cuts = [], np.cumsum([part.features for part in operator.parts])[:-1]
        pieces = zip(np.split(dense.weight, cuts), np.split(dense.bias, cuts), strict=True)
        for part, own in zip(operator.parts, (Dense(*piece) for piece in pieces), strict=True):
            edge, readers, bias = self.edges[part.name], self.graph.readers(part.name), own.bias
            if readers and isinstance(table := readers[0], Table):
                bias, self.scales[table.source] = self._table_scale(table, own, input_scales)
            elif readers and isinstance(turning := readers[0], Rotary):
                least = _least_scales(own, input_scales)
                self.scales[part.name] = self._turned_scales(turning, part.name, least)
            elif edge.bits == 8:
                least = _least_scales(own, input_scales)
                found = np.maximum(np.maximum(self.ranges[part.name], TINY) / INT8, least)
                if edge.scale is Scale.HEAD:
                    size = self._head_size
                    found = np.repeat(found.reshape(-1, size).max(axis=1), size)
                self.scales[part.name] = found
            elif part.name not in self.scales:
                largest = float(self.ranges[part.name].max())
                self.scales[part.name] = np.array(MARGIN * max(largest, TINY) / INT16)
            biases.append(bias)
        return np.concatenate(biases)

    def _turning(self, tensor: str) -> Rotary:
        """The operator that turns a tensor."""
        found = self.graph.readers(tensor)[0]
        assert isinstance(found, Rotary)
        return found

    def _turned_scales(self, turning: Rotary, tensor: str, least: np.ndarray) -> np.ndarray:
        """The scales [features] of 16 bits of what is ``turning``, not below the ``least``. The turned values have the
        same scales, or of 8 bits larger ones by powers of two, of which `turned_places` are the exponents [heads]."""
        size, same = turning.head_size, self.edges[tensor].scale is Scale.TENSOR

        def by_head(values: np.ndarray) -> np.ndarray:
            largest = values.reshape(-1, size).max(axis=1)
            return np.full_like(largest, largest.max()) if same else largest

        plain, turned = (np.maximum(by_head(self.ranges[name]), TINY) for name in (tensor, turning.name))
        scales = np.maximum(MARGIN * np.maximum(plain, turned) / INT16, by_head(least))
        places = np.zeros(len(scales), dtype=np.int64)
        if self.edges[turning.name].bits == 8:
            target = turned / INT8
            places = np.maximum(np.floor(np.log2(target / scales)), 0).astype(np.int64)
            scales = np.maximum(np.ldexp(target, -places), scales)
        self.turned_places[turning.name] = places
        return np.repeat(scales, size)

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
        if largest_sums := self._spread_ranges(tensor):
            return min(max(1, int(np.ceil(max(largest_sums) / float(self.scales[tensor])))), INT16)
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
