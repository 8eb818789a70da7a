"""Post-training quantisation of BERT: from float32 weights and a few texts to the integers of the hardware.

What the layers of all families have stands in `layerquantiser`; here are BERT's streams. The rows in front of the
linear units are quantised by the hardware, each by its own maximum, or with ``static`` by the range that calibration
found.

**Balance** goes past the LayerNorm's readers here, into the residual addition: so a feature's unit is made smaller by a
power of two, 2**-places, and what goes past is rounded by ``places`` before it is added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..kernels.normparameters import NormParameters
from ..kernels.residual import MAX_PLACES
from . import floating
from .gelu import EXACT
from .layerquantiser import INT16, MARGIN, TINY, LayerQuantiser, Ranges, Streams, balance, branch_biases, naming, widen
from .pooling import MEAN, Pooling
from .quantised import QuantisedBert
from .scaling import least_norm_units, norm_parameters, shift_channels
from .soundness import Outputs, check_words
from .spec import BertSpec
from .units import Units
from .weights import BertWeights, Dense, Norm

__all__ = ["quantise"]

MEAN_PLACES = 2
"""Places of a feature whose values are as large beside its weights as its fellows' on average."""


@dataclass(frozen=True)
class _Stream:
    """The scale of an int16 stream: its ``unit`` at the residual addition, features finer by ``places`` [hidden]."""

    unit: float
    places: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """The real value of a feature's last place."""
        return np.ldexp(self.unit, -self.places)

    def norm(self, norm: Norm, source: "_Stream", spec: BertSpec, where: str) -> NormParameters:
        """The words of the LayerNorm from which the stream comes, of sums in the unit of ``source``."""
        with naming(where):
            epsilon = spec.layer_norm_eps / source.unit**2
            return norm_parameters(Units.of(spec).norm, norm.gamma / self.units, norm.beta / self.units, epsilon)


def quantise(
    weights: BertWeights,
    calibration: Iterable[Sequence[int]],
    *,
    static: bool = False,
    balance: bool = True,
    pooling: Pooling = MEAN,
) -> QuantisedBert:
    """A quantised model, calibrated on texts (the ids of their tokens, each within the model's length).

    ``static``: the row quantisers use fixed ranges. ``balance``: see above. ``pooling``: what the host does with the
    last layer's output.

    Raises:
        InputError: for no texts or ones that do not suit the model, and for weights that the integer formats cannot
            hold, with layer and operator.
    """
    ranges = _calibrate(weights, calibration)
    scales = _streams(weights, ranges, balance)
    layers = []
    for index, (layer, found) in enumerate(zip(weights.layers, ranges, strict=True)):
        before, middle, after = scales[2 * index : 2 * index + 3]
        where = f"layer {index}"
        streams = Streams(
            qkv=before.units,
            qkv_range=found["tokens"],
            projection=before.unit,
            ffn1=middle.units,
            ffn1_range=found["norm1"],
            ffn2=middle.unit,
        )
        quantiser = LayerQuantiser(weights.spec, layer, found, streams, EXACT, where)
        layers.append(
            quantiser.layer(
                static=static,
                residual1=shift_channels(before.places),
                norm1=middle.norm(layer.norm1, before, weights.spec, f"{where} norm1"),
                residual2=shift_channels(middle.places),
                norm2=after.norm(layer.norm2, middle, weights.spec, f"{where} norm2"),
            )
        )
    return QuantisedBert(
        spec=weights.spec,
        embedding=weights.embedding,
        layers=tuple(layers),
        scales=np.stack([stream.units for stream in scales[::2]]),
        source=weights.source,
        pooling=pooling,
    )


def _calibrate(weights: BertWeights, calibration: Iterable[Sequence[int]]) -> list[Ranges]:
    """The ranges of every layer's intermediates, and of its ``tokens``, over all texts.

    Raises:
        InputError: for no texts, for ones that do not suit the model, and for weights that make nothing of them.
    """
    check_words(weights.embedding.word, weights.source)
    ranges: list[Ranges] = [{} for _ in weights.layers]
    outputs = Outputs()
    # What is not finite is refused, with the place where it is.
    with np.errstate(over="ignore", invalid="ignore"):
        for token_ids in calibration:
            x = floating.embed(token_ids, weights.embedding, weights.spec)
            for index, (layer, found) in enumerate(zip(weights.layers, ranges, strict=True)):
                trace = {"tokens": x} | floating.run_layer(x, layer, weights.spec)
                widen(found, trace, f"{weights.source}: layer {index}")
                x = trace["norm2"]
            outputs.widen(token_ids, x)
    if not outputs.tokens:
        raise InputError("calibration must have at least 1 text, not 0")
    outputs.check(weights.source)
    return ranges


def _streams(weights: BertWeights, ranges: Sequence[Ranges], balanced: bool) -> list[_Stream]:
    """The scales of what each layer takes, of what lies between its halves, and of what the last layer gives."""
    norm: Norm | None = None
    sides: list[tuple[Norm | None, np.ndarray, np.ndarray, list[Dense]]] = []  # made by, ranges, branch's, readers
    for index, (layer, found) in enumerate(zip(weights.layers, ranges, strict=True)):
        widen(found, branch_biases(layer, EXACT), f"{weights.source}: layer {index}")
        sides.append((norm, found["tokens"], found["projection"], [layer.query, layer.key, layer.value]))
        sides.append((layer.norm1, found["norm1"], found["ffn2"], [layer.ffn1]))
        norm = layer.norm2
    sides.append((norm, ranges[-1]["norm2"], np.zeros(1), []))
    spec, streams = weights.spec, list[_Stream]()
    for norm, features, branch, readers in sides:
        least = np.zeros(spec.hidden)
        if norm is not None:
            epsilon = spec.layer_norm_eps / streams[-1].unit ** 2
            least = least_norm_units(Units.of(spec).norm, norm.gamma, norm.beta, epsilon)
        streams.append(_stream(features, least, branch, readers, balanced and bool(readers)))
    return streams


def _stream(
    features: np.ndarray, least: np.ndarray, branch: np.ndarray, readers: Sequence[Dense], balanced: bool
) -> _Stream:
    """The scale for features (their ranges, and their least units) that ``readers`` take and to which a branch (its
    ranges) is added."""
    needed = np.maximum(MARGIN * np.maximum(features, TINY) / INT16, least)
    unit = max(needed.max(), MARGIN * branch.max() / INT16)
    if not balanced:
        return _Stream(unit, np.zeros(features.shape, dtype=np.int64))
    room = np.floor(np.log2(unit / needed))
    places = np.minimum(MEAN_PLACES - np.rint(balance(features, readers)), room)
    return _Stream(unit, np.clip(places, 0, MAX_PLACES).astype(np.int64))
