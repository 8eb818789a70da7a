"""The chooser: the fastest pipeline of a model that a device has room for.

The slowest unit sets the pace, so every array gets the fewest cascades that keep up with a target of cycles a tile;
the least target that fits the budget is found by bisection.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

from ..errors import InputError
from ..resources import Resources
from .spec import LINEAR_UNITS, ArrayShape, PipelineSpec

__all__ = ["Network", "choose", "divisors", "shortfall"]

PLANNED = {"dsp": 0.80, "bram36": 0.80, "uram": 0.80, "lut": 0.70, "ff": 0.50}
"""Shares of a device that a design is planned to take at most; beyond them routing fails or slows."""

TOLERANCE = 1.01
"""Geometries that are slower by no more than this are as good as the fastest, and may be smaller."""

LEAST_BEATS = 16
"""Beats a row has at least where it has several lanes."""

MAX_COLUMNS, MAX_CASCADES = 96, 4


@dataclass(frozen=True, kw_only=True)
class Network:
    """What the geometry depends on: the shape of the network and the longest sequence."""

    hidden: int
    heads: int
    intermediate: int
    layers: int
    max_length: int


def divisors(number: int) -> list[int]:
    """The divisors of a number, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


@dataclass(frozen=True)
class Option:
    """An array for one unit: its shape, the cycles a tile takes it, its DSPs."""

    shape: ArrayShape
    cycles: int
    dsps: int


def choose(network: Network, available: Resources, *, rows: int = 4, channels: int = 24) -> PipelineSpec:
    """The fastest geometry for sequences of ``max_length`` tokens; of those about as fast, the one with the fewest
    DSPs.

    Raises:
        InputError: where even the smallest does not fit, with the resource that lacks and by how much.
    """
    candidates: list[PipelineSpec] = []
    smallest: PipelineSpec | None = None
    for lanes in lane_choices(network):
        menus = menus_for(network, rows, *lanes)
        if menus is None:
            continue
        paces = sorted({option.cycles for menu in menus.values() for option in menu})
        paces = [pace for pace in paces if all(menu[0].cycles <= pace for menu in menus.values())]
        least = assemble(network, rows, lanes, menus, paces[-1], channels)
        smallest = smallest or least
        # Arrays faster than what works row by row would only wait for it.
        paces = [pace for pace in paces if pace >= least.row_cycles] or paces[-1:]
        low, high = 0, len(paces) - 1
        found: PipelineSpec | None = None
        while low <= high:
            middle = (low + high) // 2
            spec = assemble(network, rows, lanes, menus, paces[middle], channels)
            if shortfall(spec.resources, available) is None:
                found, high = spec, middle - 1
            else:
                low = middle + 1
        if found is not None:
            candidates.append(found)
    if candidates:
        fastest = min(map(layer_cycles, candidates))
        close = [spec for spec in candidates if layer_cycles(spec) <= TOLERANCE * fastest]
        return min(close, key=lambda spec: (spec.resources.dsp, layer_cycles(spec)))
    if smallest is None:
        raise InputError(
            f"hidden size {network.hidden} with {network.heads} heads has no geometry; "
            "the head size must be a multiple of 8"
        )
    raise InputError(f"the smallest geometry does not fit: {shortfall(smallest.resources, available)}")


def layer_cycles(spec: PipelineSpec) -> int:
    """Cycles a layer of the longest sequence."""
    pace = max(spec.row_cycles, *spec.tile_cycles(spec.max_length).values())
    return spec.max_tiles * pace + spec.fill_cycles(spec.max_length)


def shortfall(needed: Resources, available: Resources) -> str | None:
    """Which resource is short by most, with what is needed and what is planned; None where all suffice."""
    worst: tuple[float, str] | None = None
    for name, share in PLANNED.items():
        need, planned = getattr(needed, name), share * getattr(available, name)
        if need > planned and (worst is None or need / max(planned, 1) > worst[0]):
            label = {"dsp": "DSP48E2", "bram36": "BRAM36", "uram": "URAM288", "lut": "LUT", "ff": "FF"}[name]
            text = f"{need:,.0f} {label} needed, {planned:,.0f} planned ({share:.0%} of {getattr(available, name):,})"
            worst = (need / max(planned, 1), text)
    return worst[1] if worst else None


def lane_choices(network: Network) -> Iterator[tuple[int, int, int]]:
    """Lanes of the token streams, between the feed-forward units, and of the scores."""
    head_size = network.hidden // network.heads
    for lanes, ffn, scores in product((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 3, 4, 6, 8)):
        # The serial work of a row takes as long as some beats: shorter rows would gain nothing.
        long_enough = lanes == 1 or network.hidden // lanes >= LEAST_BEATS
        if head_size % lanes == 0 and network.intermediate % ffn == 0 and lanes <= ffn <= 2 * lanes and long_enough:
            yield lanes, ffn, scores


def menus_for(
    network: Network, rows: int, lanes: int, ffn_lanes: int, score_lanes: int
) -> dict[str, list[Option]] | None:
    """For each array the options worth having, fastest first (so the last is the smallest); None where one has none."""
    d, ffn, head_size, heads = network.hidden, network.intermediate, network.hidden // network.heads, network.heads
    tiles = ceil(network.max_length / rows)
    menus = {
        "qkv": linear_options(rows, d, 3 * d, lanes, lanes),
        "projection": linear_options(rows, d, d, lanes, lanes),
        "ffn1": linear_options(rows, d, ffn, lanes, ffn_lanes),
        "ffn2": linear_options(rows, ffn, d, ffn_lanes, lanes),
        "scores": [],
        "sums": [],
    }
    for columns in range(rows, min(4 * MAX_COLUMNS, tiles * rows) + 1, rows):
        if columns % score_lanes == 0:
            for cascades in [p for p in divisors(head_size // 8) if p <= MAX_CASCADES] if head_size % 8 == 0 else []:
                if 8 * cascades % lanes == 0:
                    words = max(head_size // (8 * cascades), columns // score_lanes)
                    cycles = heads * ceil(network.max_length / columns) * words
                    menus["scores"].append(option(rows, columns, cascades, cycles))
    for columns in divisors(head_size):
        for cascades in range(1, MAX_CASCADES + 1):
            if 8 * cascades % score_lanes == 0 and columns % lanes == 0:
                words = max(ceil(network.max_length / (8 * cascades)), columns // lanes)
                menus["sums"].append(option(rows, columns, cascades, heads * head_size // columns * words))
    menus = {name: worthwhile(menu) for name, menu in menus.items()}
    return menus if all(menus.values()) else None


def linear_options(rows: int, inputs: int, outputs: int, lanes_in: int, lanes: int) -> list[Option]:
    """All arrays for a matrix."""
    found = []
    for columns in divisors(outputs):
        for cascades in range(1, MAX_CASCADES + 1):
            if columns <= MAX_COLUMNS and columns % lanes == 0 and 8 * cascades % lanes_in == 0:
                words = max(ceil(inputs / (8 * cascades)), columns // lanes)
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
    network: Network, rows: int, lanes: tuple[int, int, int], menus: dict[str, list[Option]], pace: int, channels: int
) -> PipelineSpec:
    """The smallest pipeline in which every unit keeps the pace."""
    shapes = {name: next(o for o in reversed(menu) if o.cycles <= pace).shape for name, menu in menus.items()}
    weights = {name: shapes[name].columns * shapes[name].cascades for name in LINEAR_UNITS}
    total = sum(weights.values())
    # Memory channels in proportion to the RAMs they fill, a group of eight RAMs at least.
    share = {
        name: max(1, min(round(channels * count / total), ceil(count / 8), shapes[name].columns))
        for name, count in weights.items()
    }
    return PipelineSpec(
        hidden=network.hidden, heads=network.heads, intermediate=network.intermediate, max_length=network.max_length,
        max_layers=network.layers, rows=rows, lanes=lanes[0], ffn_lanes=lanes[1], score_lanes=lanes[2],
        channels=(share["qkv"], share["projection"], share["ffn1"], share["ffn2"]), **shapes,
    )  # fmt: skip
