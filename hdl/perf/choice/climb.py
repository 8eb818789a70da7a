"""From a geometry that keeps one pace to the fastest in its neighbourhood.

The chooser gives every array the fewest cascades that keep a pace, and so leaves what is over of the device. In short
sequences and small networks a tile's way through all units counts as much as the pace: there faster arrays than the
pace asks for help, and lanes that the pace does not need.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache
from math import inf
from typing import Any

from ...model.network import Network
from ...resources import Resources
from ..designs.budget import shortfall
from ..geometry.arrays import Arrays
from ..geometry.pipeline_spec import PipelineSpec
from ..geometry.weight_channels import channels_of_shapes
from .one_pace import LANES, Cost, Option, lane_choices, menus_for

__all__ = ["allowed", "climb"]

Menus = dict[tuple[int, int, int], dict[str, list[Option]]]
"""By lanes, the options of every array, fastest first."""

LEAST_GAIN = 0.002
"""Share of the cost that a step must gain."""


def climb(
    network: Network, spec: PipelineSpec, available: Resources, cost: Cost, *, channels: int, packed: bool = False
) -> PipelineSpec:
    """The best geometry that single steps lead to, each of which fits and gains: another shape for one array, or other
    lanes, with the memory ``channels`` for weights shared out anew. Of two ways, by the steps that gain most and by
    those that gain most for their DSPs, the one that leads further."""
    menus: Menus = {}
    for lanes in lane_choices(network):
        if (found := menus_for(network, spec.max_length, spec.rows, *lanes, packed)) is not None:
            menus[lanes] = found
    # The two ways begin alike.
    costs = cache(lambda one: cost(one) if shortfall(one.resources, available) is None else inf)
    return min((ascent(spec, menus, channels, costs, thrifty=thrifty) for thrifty in (False, True)), key=cost)


def ascent(spec: PipelineSpec, menus: Menus, channels: int, cost: Cost, *, thrifty: bool) -> PipelineSpec:
    """One of the two ways."""
    best = spec
    while True:
        worth: dict[PipelineSpec, float] = {}
        for step in dict.fromkeys(steps(best, menus, channels)):
            gain = cost(best) - cost(step)
            if gain > LEAST_GAIN * cost(best):
                price = max(1, step.resources.dsp - best.resources.dsp) if thrifty else 1
                worth[step] = gain / price
        if not worth:
            return best
        best = max(worth, key=worth.__getitem__)


def steps(spec: PipelineSpec, choices: Menus, channels: int) -> Iterator[PipelineSpec]:
    """The neighbours of a geometry that the specs allow."""
    lanes = spec.lanes, spec.ffn_lanes, spec.score_lanes
    sizes = {name: shape.rams for name, shape in spec.arrays.items()}
    for other, menus in choices.items():
        # Of each menu, fastest first, the options that are no smaller than the array is, and those that are.
        least = {name: [one for one in menu if one.shape.rams >= sizes[name]] for name, menu in menus.items()}
        if other != lanes:
            changed = dict(zip(LANES, other, strict=True))
            # As they are, or all of them the next faster: lanes and arrays often gain only together.
            for place in (1, 2):
                kept = {name: (found or menus[name][:1])[-min(place, len(found) or 1)] for name, found in least.items()}
                yield from allowed(
                    spec, channels, spec.arrays | {name: one.shape for name, one in kept.items()}, **changed
                )
            continue
        faster = {name: [one for one in found if one.shape.rams > sizes[name]] for name, found in least.items()}
        for name, menu in menus.items():
            for one in [*faster[name][-2:], *[one for one in menu if one.shape.rams < sizes[name]][:1]]:
                yield from allowed(spec, channels, spec.arrays | {name: one.shape})
        # Where several arrays set the pace, no single one gains anything: all that do, at once.
        now = {name: found[-1].cycles for name, found in least.items() if found}
        slowest = [name for name, cycles in now.items() if cycles == max(now.values()) and faster[name]]
        yield from allowed(spec, channels, spec.arrays | {name: faster[name][-1].shape for name in slowest})


# Ways for several devices lead over much the same geometries.
@lru_cache(maxsize=1 << 13)
def allowed(spec: PipelineSpec, channels: int, arrays: Arrays, **lanes: Any) -> tuple[PipelineSpec, ...]:
    """The geometry with other arrays and lanes, and its share of memory channels; nothing where the specs refuse it."""
    shares = channels_of_shapes(channels, [arrays[name] for name in spec.products])
    try:
        return (replace(spec, arrays=arrays, channels=shares, **lanes),)
    except ValueError:
        return ()
