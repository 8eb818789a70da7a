"""Post-training quantisation: from float32 weights and a few texts to the integers of the hardware.

Weights get a scale an output channel; queries and keys one a head, values one a feature, by their ranges on the
calibration texts; so do the int16 streams. The rows in front of the linear units are quantised by the hardware, each by
its own maximum, or with ``static`` by the range that calibration found.

**Balance.** Some features of a LayerNorm's output are much larger than the others and leave them few of a row's 127
levels. So a feature's unit is made smaller by 2**-places where its values are small beside its weights: LayerNorm's
factors and the weights take that in, and what goes past them is rounded by ``places`` before the residual addition.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import erf, sqrt

import numpy as np

from ..errors import InputError
from ..kernels.parameters import ChannelParameters
from ..kernels.residual import MAX_PLACES
from . import floating
from .quantised import QuantisedBert, QuantisedLayer
from .scaling import attention_scales, norm_channels, quantise_rows, requantise_channels
from .spec import BertSpec
from .weights import BertWeights, Dense, LayerWeights, Norm

__all__ = ["quantise"]

MARGIN = 1.25
"""How far beyond the range that calibration found the int16 formats reach."""

MEAN_PLACES = 2
"""Places of a feature whose values are as large beside its weights as its fellows' on average."""

INT8, INT16, UINT16 = (1 << 7) - 1, (1 << 15) - 1, (1 << 16) - 1
ROW_LEVELS, UNSIGNED_ROW_LEVELS = 127, 255

SUM_LIMIT = 1 << 26
"""Sums are signed 27 bits."""

CONTEXT_FACTOR = 2.0**-22
"""The constant in a softmax's row factor."""

TABLE_ENTRIES, TABLE_STEP = 1024, 64
"""Entries of the activation's table, and inputs from one to the next."""

GELU_LEAST = -0.16997120747990369
"""The least value of the GELU, which is the 0 of its unsigned outputs."""

GELU_RANGE = 4.0
"""The least range of a GELU's table to either side, for layers whose calibration saw only small values."""

TINY = 1e-6
"""What stands for the range of values that are all 0."""

Ranges = dict[str, np.ndarray]
"""Each feature's largest magnitude by its name in `floating.run_layer`'s trace, and of the layer's ``tokens``; of
``ffn1`` its largest value."""


@dataclass(frozen=True)
class _Stream:
    """The scale of an int16 stream: its ``unit`` at the residual addition, features finer by ``places`` [hidden]."""

    unit: float
    places: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """The real value of a feature's last place."""
        return np.ldexp(self.unit, -self.places)

    def residual(self) -> ChannelParameters:
        """The residual addition's words."""
        zero = np.zeros_like(self.places)
        return ChannelParameters(factor=zero, shift=self.places, bias=zero, column_sum=zero)

    def norm(self, norm: Norm) -> ChannelParameters:
        """The words of the LayerNorm from which the stream comes."""
        return norm_channels(norm.gamma / self.units, norm.beta / self.units)


def quantise(
    weights: BertWeights, calibration: Iterable[Sequence[int]], *, static: bool = False, balance: bool = True
) -> QuantisedBert:
    """A quantised model, calibrated on texts (the ids of their tokens, each within the model's length).

    ``static``: the row quantisers use fixed ranges. ``balance``: see above.

    Raises:
        InputError: for no texts or ones that do not suit the model, and for weights that the integer formats cannot
            hold, with layer and operator.
    """
    ranges = _calibrate(weights, calibration)
    tokens, middles = [], []
    for layer, found in zip(weights.layers, ranges, strict=True):
        tokens.append(_stream(found["tokens"], found["projection"], [layer.query, layer.key, layer.value], balance))
        middles.append(_stream(found["norm1"], found["ffn2"], [layer.ffn1], balance))
    tokens.append(_stream(ranges[-1]["norm2"], np.zeros(1), [], False))
    layers = []
    for index, layer in enumerate(weights.layers):
        quantiser = _LayerQuantiser(
            weights.spec, layer, ranges[index], (tokens[index], middles[index], tokens[index + 1]), f"layer {index}"
        )
        layers.append(replace(quantiser.layer(), limits=quantiser.limits()) if static else quantiser.layer())
    return QuantisedBert(
        spec=weights.spec,
        embedding=weights.embedding,
        layers=tuple(layers),
        scales=np.stack([stream.units for stream in tokens]),
        source=weights.source,
    )


def _calibrate(weights: BertWeights, calibration: Iterable[Sequence[int]]) -> list[Ranges]:
    """The ranges of every layer's intermediates over all texts."""
    ranges: list[Ranges] = [{} for _ in weights.layers]
    texts = 0
    for token_ids in calibration:
        texts += 1
        x = floating.embed(token_ids, weights.embedding, weights.spec)
        for layer, found in zip(weights.layers, ranges, strict=True):
            trace = {"tokens": x} | floating.run_layer(x, layer, weights.spec)
            for name, values in trace.items():
                largest = (values if name == "ffn1" else np.abs(values)).max(axis=0).astype(np.float64)
                found[name] = np.maximum(found.get(name, largest), largest)
            x = trace["norm2"]
    if not texts:
        raise InputError("calibration must have at least 1 text, not 0")
    return ranges


def _stream(features: np.ndarray, branch: np.ndarray, readers: Sequence[Dense], balance: bool) -> _Stream:
    """The scale for features (their ranges) that ``readers`` take and to which a branch (its ranges) is added."""
    unit = MARGIN * max(features.max(), branch.max(), TINY) / INT16
    if not balance:
        return _Stream(unit, np.zeros(features.shape, dtype=np.int64))
    room = np.floor(np.log2(unit * INT16 / (MARGIN * np.maximum(features, TINY))))
    places = np.minimum(MEAN_PLACES - np.rint(_size(features, readers)), room)
    return _Stream(unit, np.clip(places, 0, MAX_PLACES).astype(np.int64))


def _size(features: np.ndarray, readers: Sequence[Dense]) -> np.ndarray:
    """How many powers of two features (their ranges) should be made smaller, and their weights greater, to suit both.

    Half of the way from equal features to equal weights, as SmoothQuant has it; 0 on average.
    """
    columns = np.max([np.abs(dense.weight).max(axis=0) for dense in readers], axis=0)
    size = np.log2(np.maximum(features, TINY) / np.maximum(columns, TINY)) / 2
    return size - size.mean()


class _LayerQuantiser:
    """Quantises a layer between its ``streams``: the tokens it takes, those between its halves, those it gives."""

    def __init__(
        self,
        spec: BertSpec,
        weights: LayerWeights,
        ranges: Ranges,
        streams: tuple[_Stream, _Stream, _Stream],
        where: str,
    ):
        self.spec, self.weights, self.ranges, self.where = spec, weights, ranges, where
        self.tokens, self.middle, self.output = streams
        self.key_units, self.query_units = self._head_units("keys"), self._head_units("queries")
        self.value_units = np.maximum(ranges["values"], TINY) / INT8
        # Between value and projection a scale of its own for each feature costs nothing.
        balance = np.exp2(_size(ranges["context"], [weights.projection]))
        self.context_units = balance * MARGIN * max((ranges["context"] / balance).max(), TINY) / INT16
        self.ffn1_unit = max(MARGIN * ranges["ffn1"].max(), GELU_RANGE) / INT16
        self.table, self.activation_unit = _gelu_table(self.ffn1_unit)

    def _head_units(self, name: str) -> np.ndarray:
        largest = self.ranges[name].reshape(self.spec.heads, -1).max(axis=1)
        return np.maximum(largest, TINY) / INT8

    def layer(self) -> QuantisedLayer:
        """The layer, each row quantised by its own maximum."""
        qkv_weight, qkv = self._qkv()
        projection_weight, projection = self._linear(
            "projection", self.weights.projection, self.context_units, self.tokens.unit
        )
        ffn1_weight, ffn1 = self._linear("ffn1", self.weights.ffn1, self.middle.units, self.ffn1_unit)
        ffn2_weight, ffn2 = self._ffn2()
        with self._naming("scores"):
            scores = attention_scales(self.query_units * self.key_units / sqrt(self.spec.head_size))
        with self._naming("context"):
            context = requantise_channels(
                self.value_units * CONTEXT_FACTOR / self.context_units, np.zeros(self.spec.hidden)
            )
        with self._naming("norm1"):
            norm1 = self.middle.norm(self.weights.norm1)
        with self._naming("norm2"):
            norm2 = self.output.norm(self.weights.norm2)
        return QuantisedLayer(
            qkv_weight=qkv_weight,
            projection_weight=projection_weight,
            ffn1_weight=ffn1_weight,
            ffn2_weight=ffn2_weight,
            qkv=qkv,
            scores=scores,
            context=context,
            projection=projection,
            residual1=self.tokens.residual(),
            norm1=norm1,
            ffn1=ffn1,
            ffn2=ffn2,
            residual2=self.middle.residual(),
            norm2=norm2,
            activation=self.table,
            limits=(0, 0, 0, 0),
        )

    def limits(self) -> tuple[int, int, int, int]:
        """What the rows' maxima were at most in front of the linear units."""
        activated = max(_gelu(float(self.ranges["ffn1"].max())), 0.0) - GELU_LEAST
        largest = (
            (self.ranges["tokens"] / self.tokens.units).max(),
            (self.ranges["context"] / self.context_units).max(),
            (self.ranges["norm1"] / self.middle.units).max(),
            activated / self.activation_unit,
        )
        qkv, projection, ffn1, ffn2 = (max(1, int(np.ceil(value))) for value in largest)
        return min(qkv, INT16), min(projection, INT16), min(ffn1, INT16), min(ffn2, UINT16)

    def _qkv(self) -> tuple[np.ndarray, ChannelParameters]:
        parts = (self.weights.key, self.weights.value, self.weights.query)
        dense = Dense(np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts]))
        keys, queries = (np.repeat(units, self.spec.head_size) for units in (self.key_units, self.query_units))
        return self._linear("qkv", dense, self.tokens.units, np.concatenate([keys, self.value_units, queries]))

    def _linear(
        self, unit: str, dense: Dense, input_units: np.ndarray, output_units: np.ndarray | float
    ) -> tuple[np.ndarray, ChannelParameters]:
        """int8 weights and channel words of a unit with signed rows; its sums fit with `spec.MAX_INNER`
        terms."""
        integers, scale = quantise_rows(dense.weight * input_units)
        with self._naming(unit):
            return integers, requantise_channels(scale / ROW_LEVELS / output_units, dense.bias / output_units)

    def _ffn2(self) -> tuple[np.ndarray, ChannelParameters]:
        """int8 weights and channel words of the unit whose rows are unsigned, less 128, where 0 means `GELU_LEAST`."""
        dense, output_unit = self.weights.ffn2, self.middle.unit
        integers, scale = quantise_rows(dense.weight)
        wide = integers.astype(np.int64)
        reach = np.maximum(np.maximum(wide, 0).sum(axis=1), np.maximum(-wide, 0).sum(axis=1)) * UNSIGNED_ROW_LEVELS
        if reach.max() >= SUM_LIMIT:
            sums = f"{self.where} ffn2: sums of output {reach.argmax()}"
            raise InputError(f"{sums} must stay below {SUM_LIMIT}, but can reach {reach.max()}")
        column_sum = wide.sum(axis=1)
        bias = dense.bias + GELU_LEAST * scale * column_sum
        gain = scale * self.activation_unit / UNSIGNED_ROW_LEVELS
        with self._naming("ffn2"):
            return integers, requantise_channels(gain / output_unit, bias / output_unit, column_sum)

    @contextmanager
    def _naming(self, operator: str) -> Iterator[None]:
        """Says of which operator a number is out of range."""
        try:
            yield
        except ValueError as error:
            raise InputError(f"{self.where} {operator}: {error}; are these the weights of a trained model?") from None


def _gelu(x: float) -> float:
    return x * (1 + erf(x / sqrt(2))) / 2


def _gelu_table(input_unit: float) -> tuple[np.ndarray, float]:
    """Base and delta [entries, 2] for inputs of the given unit; the unit of the outputs, whose 0 is `GELU_LEAST`."""
    inputs = (np.arange(TABLE_ENTRIES + 1) * TABLE_STEP - (1 << 15)) * input_unit
    values = np.array([_gelu(x) for x in inputs]) - GELU_LEAST
    unit = values.max() / UINT16
    bases = np.rint(values / unit).astype(np.int64)
    return np.stack([bases[:-1], np.diff(bases)], axis=1), unit
