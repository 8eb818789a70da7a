"""Post-training quantisation of GPT-2: from float32 weights and a few texts to the integers of the hardware.

What the layers of all families have stands in `layerquantiser`; here are GPT-2's streams, its tables and its head.

**The residual stream** has 16 bits and goes round the one layer of hardware; LayerNorm, its only reader, does not care
for its unit. It grows from layer to layer, so its unit begins as small as the embeddings allow, and grows by powers of
two: each residual addition shifts what went past by as many places.

**Balance**: LayerNorm's results go to linear units alone, so every feature has the unit that suits it and its weights
(`norms`).
"""

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from ...errors import InputError
from ...kernels.residual import MAX_PLACES
from ..floating import normalise
from ..gelu import TANH
from ..layerquantiser import (
    INT16,
    MARGIN,
    TINY,
    LayerQuantiser,
    Ranges,
    Streams,
    branch_biases,
    naming,
    widen,
)
from ..quantised import QuantisedLayer
from ..scaling import requantise_channels, shift_channels
from ..soundness import Outputs, check_words
from ..weightbits import W8, WeightBits
from ..weights import Dense
from .floating import embed, run_layer
from .norms import StreamNorm, signed_extremes
from .quantised import QuantisedGpt2
from .rounding import NearestRounding, group_roundings
from .weights import Gpt2Weights

__all__ = ["quantise"]

ROW_LEVELS = 127


def quantise(
    weights: Gpt2Weights,
    calibration: Iterable[Sequence[int]],
    *,
    static: bool = False,
    weight_bits: WeightBits = W8,
) -> QuantisedGpt2:
    """A quantised model, calibrated on texts (the ids of their tokens, each within the model's length).

    ``static``: the row quantisers use the ranges that calibration found, instead of each row's own maximum.
    ``weight_bits``: 8, or 4 in groups (`groups`), product by product.

    Raises:
        InputError: for no texts or ones that do not suit the model, and for weights that the integer formats cannot
            hold, with layer and operator.
    """
    spec, texts = weights.spec, list(calibration)
    layer_ranges, last = calibrate(weights, texts)
    roundings = group_roundings(weights, texts, weight_bits) if weight_bits.packed else repeat(NearestRounding())
    factors: dict[str, np.ndarray] = {}
    tables = np.abs(weights.word).max(axis=0) + np.abs(weights.position).max(axis=0)
    for index, (layer, found) in enumerate(zip(weights.layers, layer_ranges, strict=True)):
        widen(found, branch_biases(layer, TANH), f"{weights.source}: layer {index}")
    units, places = stream_units(layer_ranges, float(tables.max()))
    layers: list[QuantisedLayer] = []
    for index, (layer, found) in enumerate(zip(weights.layers, layer_ranges, strict=True)):
        where = f"layer {index}"
        readers = [layer.query, layer.key, layer.value]
        norm1 = StreamNorm(spec, layer.norm1, units[2 * index], "norm1", found, readers)
        norm2 = StreamNorm(spec, layer.norm2, units[2 * index + 1], "norm2", found, [layer.ffn1])
        streams = Streams(
            qkv=norm1.units,
            qkv_range=found["norm1"],
            projection=units[2 * index + 1],
            ffn1=norm2.units,
            ffn1_range=found["norm2"],
            ffn2=units[2 * index + 2],
        )
        rounding = next(roundings)
        quantiser = LayerQuantiser(spec, layer, found, streams, TANH, where, rounding)
        with naming(f"{where} norms"):
            norms = {"norm1": norm1.parameters(), "norm2": norm2.parameters()}
        shifts = [shift_channels(np.full(spec.hidden, places[2 * index + half])) for half in (0, 1)]
        layers.append(quantiser.layer(static=static, residual1=shifts[0], residual2=shifts[1], **norms))
        factors |= {f"{index}.{unit}": own for unit, own in rounding.factors.items()}
    final = StreamNorm(spec, weights.norm, units[-1], "norm", last, [Dense(weights.word, np.zeros(0))])
    head_units = final.units
    rounding = next(roundings)
    head_weight, scale = rounding("head", weights.word * head_units, head_units)
    logit_unit = MARGIN * max(float(last["logits"].max()), TINY) / INT16
    with naming("head"):
        head = requantise_channels(scale / ROW_LEVELS / logit_unit, np.zeros(spec.vocabulary))
        norm = final.parameters()
    return QuantisedGpt2(
        spec=spec,
        word=_table(weights.word, units[0]),
        position=_table(weights.position, units[0]),
        layers=tuple(layers),
        norm=norm,
        head_weight=head_weight,
        head=head,
        head_limit=min(INT16, int(np.ceil((last["norm"] / head_units).max()))) if static else 0,
        group_factors=factors | rounding.factors,
        stream_units=units,
        norm_units=head_units,
        logit_unit=logit_unit,
        source=weights.source,
    )


def calibrate(weights: Gpt2Weights, calibration: Iterable[Sequence[int]]) -> tuple[list[Ranges], Ranges]:
    """The ranges over all texts: of every layer's intermediates and the ``tokens`` it takes; of the last ``norm`` and
    of the ``logits``.

    Raises:
        InputError: for no texts, for ones that do not suit the model, and for weights that make nothing of them.
    """
    check_words(weights.word, weights.source)
    ranges: list[Ranges] = [{} for _ in weights.layers]
    last: Ranges = {}
    outputs = Outputs()
    # What is not finite is refused, with the place where it is.
    with np.errstate(over="ignore", invalid="ignore"):
        for token_ids in calibration:
            x = embed(token_ids, weights)
            for index, (layer, found) in enumerate(zip(weights.layers, ranges, strict=True)):
                trace = {"tokens": x} | run_layer(x, layer, weights.spec)
                trace |= signed_extremes("norm1", trace["norm1"]) | signed_extremes("norm2", trace["norm2"])
                widen(found, trace, f"{weights.source}: layer {index}")
                x = trace["residual2"]
            features = normalise(x, weights.norm, weights.spec)
            logits = features @ weights.word.T
            ends = {"norm": features, "logits": logits} | signed_extremes("norm", features)
            widen(last, ends, f"{weights.source}: the head's")
            outputs.widen(token_ids, logits, centre=True)
    if not outputs.tokens:
        raise InputError("calibration must have at least 1 text, not 0")
    outputs.check(weights.source)
    return ranges, last


def stream_units(ranges: Sequence[Ranges], embedded: float) -> tuple[np.ndarray, np.ndarray]:
    """The residual stream's units [2 layers + 1], and the places [2 layers] by which it is shifted on the
    way to the next.

    Each unit suits what is added there and the sum, the first what can be ``embedded``. No shift is greater than the
    hardware has, for which an early unit is made coarser.
    """
    needed = [embedded]
    for found in ranges:
        for names in (("residual1", "projection"), ("residual2", "ffn2")):
            needed.append(MARGIN * max(float(found[name].max()) for name in names))
    units = np.maximum(needed, TINY) / INT16
    steps = np.maximum.accumulate(np.ceil(np.log2(units / units[0]))).astype(np.int64)
    for index in reversed(range(len(steps) - 1)):
        steps[index] = max(steps[index], steps[index + 1] - MAX_PLACES)
    return np.ldexp(units[0], steps), np.diff(steps)


def _table(values: np.ndarray, unit: float) -> np.ndarray:
    return np.clip(np.rint(values / unit), -INT16 - 1, INT16).astype(np.int16)
