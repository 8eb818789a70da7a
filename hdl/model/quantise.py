"""Post-training quantisation: from float32 weights and a few texts to the integers of the hardware.

`calibrate` finds the ranges of all tensors, `suited` makes weights fit for integers, `streams` finds the scales of the
residual path, `graphquantiser` the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from ..errors import InputError
from .calibrate import Ranges, calibrate
from .graphquantiser import GraphQuantiser
from .lowering import numeric_specs
from .network import Network
from .pooling import MEAN, Pooling
from .quantised import Quantised, QuantisedGraph
from .rounding import NearestRounding, group_roundings
from .scaling import INT16, MARGIN
from .streams import Streams, residual_path
from .suited import is_suited, suited
from .weightbits import W8, WeightBits
from .weights import Weights

__all__ = ["check_quantisable", "quantise"]


def check_quantisable(network: Network, weight_bits: WeightBits = W8) -> None:
    """Refuses a network whose numbers the hardware's kernels do not take, and bits that its weights cannot have.

    Raises:
        InputError: with the reason.
    """
    weight_bits.check(network.products, causal=network.causal)
    try:
        for graph in (network.layer, network.head):
            if graph:
                numeric_specs(network, graph)
    except ValueError as error:
        raise InputError(f"model {network.name!r} cannot be quantised: {error}") from None


def quantise(
    weights: Weights,
    calibration: Iterable[Any],
    *,
    static: bool = False,
    balance: bool = True,
    pooling: Pooling = MEAN,
    weight_bits: WeightBits = W8,
) -> Quantised:
    """A quantised model, calibrated on texts (the ids of their tokens, each within the model's length).

    ``static``: the row quantisers use the ranges that calibration found, instead of each row's own maximum.
    ``balance``: see `streams`. ``pooling``: what the host does with the last layer's output. ``weight_bits``: 8, or 4
    or 5 in groups (`groups`), product by product.

    Raises:
        InputError: see `check_quantisable`; for no texts or ones that do not suit the model; and for weights that the
            integer formats cannot hold, with layer and operator.
    """
    network, texts = weights.network, list(calibration)
    check_quantisable(network, weight_bits)
    ranges = calibrate(weights, texts)
    if fit := is_suited(network):
        weights = suited(weights, ranges)
        ranges = calibrate(weights, texts)
    roundings: Iterator[NearestRounding] = (
        group_roundings(weights, texts, weight_bits) if weight_bits.packed or fit else repeat(NearestRounding())
    )
    path = residual_path(weights, ranges, _embedded(weights, ranges), balanced=balance)
    stages: list[QuantisedGraph] = []
    factors: dict[str, np.ndarray] = {}
    for index, (stage, found) in enumerate(zip(weights.stages, ranges, strict=True)):
        layer, rounding = index < network.layers, next(roundings)
        streams = path[index] if layer else Streams({stage.graph.input: stages[-1].scales[network.layer.output]}, {})
        stages.append(GraphQuantiser(network, stage, found, streams, rounding, static=static).quantised())
        factors |= {f"{index}.{name}" if layer else name: one for name, one in rounding.factors.items()}
    head = stages.pop() if network.head else None
    return Quantised(
        network=network,
        tables=_tables(weights, stages[0]) if head else weights.tables,
        embedding=weights.embedding,
        closing=weights.closing,
        layers=tuple(stages),
        head=head,
        group_factors=factors,
        packed_bits=weight_bits.bits if factors else 8,
        source=weights.source,
        pooling=pooling,
    )


def _embedded(weights: Weights, ranges: Sequence[Ranges]) -> float:
    """The largest magnitude that can enter the first layer: of the sums of the tables' rows where these are added by
    the device, else of what calibration saw."""
    if weights.network.head:
        return float(sum(np.abs(table).max(axis=0) for table in weights.tables.values()).max())
    return MARGIN * float(ranges[0][weights.network.layer.input].max())


def _tables(weights: Weights, first: QuantisedGraph) -> dict[str, np.ndarray]:
    """The tables as the device adds them, in the scale of the first layer's input."""
    scale = first.scales[weights.network.layer.input]
    return {
        name: np.clip(np.rint(table / scale), -INT16 - 1, INT16).astype(np.int16)
        for name, table in weights.tables.items()
    }
