"""Geometries of one pace: the fastest that a device has room for.

The slowest unit sets the pace, so every array gets the fewest cascades that keep up with a target of cycles a tile;
the least target that fits the budget is found by bisection.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from math import ceil, gcd
from typing import Any

from ...errors import InputError
from ...kernels.arrayspec import pass_cycles
from ...kernels.linearspec import pass_words
from ...kernels.weights import CHANNEL_RAMS
from ...model.network import Network
from ...resources import Resources
from ..designs.budget import shortfall
from ..geometry.arrays import ATTENTION_ARRAYS, Arrays, ArrayShape
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.formulas import block_divisor
from ..geometry.pipeline_spec import PipelineSpec, tensor_lanes
from ..geometry.weight_channels import channels_of_shapes

__all__ = ["TOLERANCE", "Cost", "balanced", "divisors", "lane_choices", "menus_for", "smallest"]

Cost = Callable[[PipelineSpec], float]
"""What a geometry is judged by: less is better."""

TOLERANCE = 1.01
"""Geometries that cost no more than this times the best are as good, and may be smaller."""

LEAST_BEATS = 16
"""Beats a row has at least where it has several lanes."""

MAX_COLUMNS, MAX_CASCADES = 96, 4

LANES = ("lanes", "ffn_lanes", "score_lanes")
"""The fields of a geometry that `lane_choices` gives."""


def divisors(number: int) -> list[int]:
    """The divisors of a number, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


@dataclass(frozen=True)
class Option:
    """An array for one unit: its shape, the cycles a tile takes it, its DSPs."""

    shape: ArrayShape
    cycles: int
    dsps: int


def balanced(
    network: Network,
    max_length: int,
    available: Resources,
    cost: Cost,
    *,
    rows: int,
    channels: int,
    cache_channels: int = 0,
    packed: bool = False,
) -> PipelineSpec:
    """The best geometry whose arrays keep one pace, for sequences of up to ``max_length`` tokens; of those about as
    good, the one with the fewest DSPs. ``cache_channels``: memory channels for a decoder's keys, and as many for its
    values; with 0 these lie on chip. ``packed``: its weights may be of 4 bits.

    Raises:
        InputError: where even the smallest does not fit, with the resource that lacks and by how much.
    """
    candidates: list[PipelineSpec] = []
    least_of_all: PipelineSpec | None = None
    for lanes in lane_choices(network):
        menus = menus_for(network, max_length, rows, *lanes, packed)
        if menus is None:
            continue
        paces = sorted({option.cycles for menu in menus.values() for option in menu})
        paces = [pace for pace in paces if all(menu[0].cycles <= pace for menu in menus.values())]
        build = partial(
            assemble, network, max_length, rows, lanes, menus, channels=channels, cache_channels=cache_channels
        )
        least = build(paces[-1])
        least_of_all = least_of_all or least
        # Arrays faster than what works row by row would only wait for it.
        paces = [pace for pace in paces if pace >= least.row_cycles] or paces[-1:]
        low, high = 0, len(paces) - 1
        found: PipelineSpec | None = None
        while low <= high:
            middle = (low + high) // 2
            spec = build(paces[middle])
            if shortfall(spec.resources, available) is None:
                found, high = spec, middle - 1
            else:
                low = middle + 1
        if found is not None:
            candidates.append(found)
    if candidates:
        costs = {spec: cost(spec) for spec in candidates}
        close = [spec for spec in candidates if costs[spec] <= TOLERANCE * min(costs.values())]
        return min(close, key=lambda spec: (spec.resources.dsp, costs[spec]))
    if least_of_all is None:
        raise no_geometry(network)
    raise InputError(f"the smallest geometry does not fit: {shortfall(least_of_all.resources, available)}")


def no_geometry(network: Network) -> InputError:
    """The error for a network whose arrays have no shapes."""
    return InputError(
        f"hidden size {network.hidden} with {network.heads} heads has no geometry; "
        "the head size must be a multiple of 8"
    )


def smallest(network: Network, max_length: int, rows: int) -> PipelineSpec:
    """The smallest geometry of the fewest lanes, with a memory channel for each linear unit.

    Raises:
        InputError: where a network has no geometry.
        ValueError: as the specs.
    """
    for lanes in lane_choices(network):
        menus = menus_for(network, max_length, rows, *lanes)
        if menus is not None:
            pace = max(menu[-1].cycles for menu in menus.values())
            return assemble(network, max_length, rows, lanes, menus, pace, channels=len(network.operators))
    raise no_geometry(network)


def lane_choices(network: Network) -> Iterator[tuple[int, int, int]]:
    """Lanes of the token streams, between the feed-forward units, and of the scores."""
    head_size = network.head_size
    for lanes, ffn, scores in product((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 3, 4, 6, 8)):
        # The serial work of a row takes as long as some beats: shorter rows would gain nothing.
        long_enough = lanes == 1 or network.hidden // lanes >= LEAST_BEATS
        # A decoder's arrays work on each other's products.
        widest = lanes if network.causal else 2 * lanes
        if head_size % lanes == 0 and network.intermediate % ffn == 0 and lanes <= ffn <= widest and long_enough:
            yield lanes, ffn, scores


@lru_cache(maxsize=1 << 10)
def menus_for(
    network: Network, max_length: int, rows: int, lanes: int, ffn_lanes: int, score_lanes: int, packed: bool = False
) -> dict[str, list[Option]] | None:
    """For each array the options worth having, fastest first (so the last is the smallest); None where one has none.
    ``packed``: of linear units only those that can have weights of 4 bits."""
    head_size, heads = network.head_size, network.heads
    tiles = ceil(max_length / rows)
    # A decoder's tiles see half of the keys on average, and wait in front of attention for those that see more.
    share = 0.5 if network.causal else 1.0
    # Shared products fill whole words of every array.
    words = block_divisor(network.hidden, network.intermediate, 1) if network.causal else 0
    if packed:  # a group's factors are for whole words
        words = gcd(words, CHANNEL_RAMS)
    lanes_of = partial(tensor_lanes, network.layer, lanes=lanes, ffn_lanes=ffn_lanes)
    menus: dict[str, list[Option]] = {
        one.name: linear_options(
            rows, one.inputs, one.outputs, lanes_of(one.source), lanes_of(one.parts[0].name), words
        )
        for one in network.operators
    } | {name: [] for name in ATTENTION_ARRAYS}
    for columns in range(rows, min(4 * MAX_COLUMNS, tiles * rows) + 1, rows):
        if columns % score_lanes == 0:
            for cascades in [p for p in divisors(head_size // 8) if p <= MAX_CASCADES] if head_size % 8 == 0 else []:
                if 8 * cascades % lanes == 0:
                    words = pass_cycles(pass_words(head_size, cascades), columns, score_lanes)
                    cycles = heads * ceil(share * ceil(max_length / columns) * words)
                    menus["scores"].append(option(rows, columns, cascades, cycles))
    for columns in divisors(head_size):
        for cascades in range(1, MAX_CASCADES + 1):
            if 8 * cascades % score_lanes == 0 and columns % lanes == 0:
                words = pass_cycles(ceil(share * pass_words(max_length, cascades)), columns, lanes)
                menus["sums"].append(option(rows, columns, cascades, heads * head_size // columns * words))
    menus = {name: worthwhile(menu) for name, menu in menus.items()}
    return menus if all(menus.values()) else None


def linear_options(rows: int, inputs: int, outputs: int, lanes_in: int, lanes: int, multiple: int) -> list[Option]:
    """All arrays for a matrix; ``multiple`` is one of their cascades, where it is not 0."""
    found = []
    for columns in divisors(outputs):
        for cascades in (p for p in range(1, MAX_CASCADES + 1) if multiple % p == 0):
            if columns <= MAX_COLUMNS and columns % lanes == 0 and 8 * cascades % lanes_in == 0:
                words = pass_cycles(pass_words(inputs, cascades), columns, lanes)
                # The beats of the activations and of the sums pass a beat a cycle.
                cycles = max(outputs // columns * words, inputs // lanes_in, outputs // lanes)
                found.append(option(rows, columns, cascades, cycles))
    return found


def option(rows: int, columns: int, cascades: int, cycles: int) -> Option:
    """An option with its DSPs."""
    return Option(ArrayShape(columns, cascades), cycles, rows // 2 * 8 * columns * cascades)


def worthwhile(menu: Iterable[Option]) -> list[Option]:
    """The options that no other beats in both cycles and DSPs, fastest first; of equals the fewest columns."""
    kept: list[Option] = []
    for one in sorted(menu, key=lambda o: (o.dsps, o.cycles, o.shape)):
        if not kept or one.cycles < kept[-1].cycles:
            kept.append(one)
    return kept[::-1]


def assemble(
    network: Network,
    max_length: int,
    rows: int,
    lanes: tuple[int, int, int],
    menus: dict[str, list[Option]],
    pace: int,
    *,
    channels: int,
    cache_channels: int = 0,
) -> PipelineSpec:
    """The smallest pipeline in which every unit keeps the pace."""
    arrays = Arrays(**{n: next(o for o in reversed(menu) if o.cycles <= pace).shape for n, menu in menus.items()})
    common: dict[str, Any] = {
        "layer": network.layer,
        "max_length": ceil(max_length / rows) * rows if network.causal else max_length,
        "max_layers": network.layers,
        "rows": rows,
        **dict(zip(LANES, lanes, strict=True)),
        "arrays": arrays,
        "channels": channels_of_shapes(channels, [arrays[one.name] for one in network.operators]),
    }
    if not network.causal:
        return PipelineSpec(**common)
    assert network.head is not None, f"{network.name} has no head"
    return DecoderLayerSpec(
        head=network.head, cache_on_chip=not cache_channels, cache_channels=cache_channels, **common
    )
