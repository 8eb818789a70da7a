"""The figures of every option of every unit, asked of the specs once, so that points are looked up instead of built.

A *group* is a tile with its lanes, which all units share; within it each array has options, its shapes. A unit's
figures depend on its group, its own shape and little else, so every spec is asked about once for each of them, and a
point's figures are sums and maxima of rows of these tables (`evaluate`). No formula of a unit stands here.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ....errors import InputError
from ....model.network import Network
from ...choice.estimated import not_spatial
from ...choice.one_pace import LANES, MAX_CASCADES, MAX_COLUMNS, divisors, lane_choices, menus_for
from ...geometry.arrays import ATTENTION_ARRAYS, Arrays, ArrayShape, array_names
from ...geometry.decoder_layer_spec import DecoderLayerSpec
from ...geometry.pipeline_spec import PipelineSpec
from ...workload import TILES
from ..options import Shapes
from ..points import counts
from .spec_figures import LENGTHS, STYLES, SpecFigures

__all__ = ["LENGTHS", "STYLES", "ArrayOptions", "AttentionOptions", "LinearOptions", "SpatialTables"]

Group = tuple[int, int, int, int]
"""Rows, lanes, lanes between the feed-forward units, lanes of the scores."""


@dataclass(frozen=True, kw_only=True)
class ArrayOptions(Shapes):
    """An array's options, fastest first."""

    cycles: np.ndarray
    """Of a tile, [options, lengths]."""

    def slowest_within(self, group: np.ndarray, pace: np.ndarray) -> np.ndarray:
        """For each group the last option that takes no more cycles than a pace, its fastest where none does; options
        are sorted by cycles."""
        stride = float(self.cycles.max() + 1)
        groups = np.repeat(np.arange(len(self.size)), self.size)
        keys = groups * stride + self.cycles[:, 0]
        found = np.searchsorted(keys, group * stride + np.minimum(pace, stride - 1), side="right") - 1
        return np.maximum(found - self.start[group], 0)


@dataclass(frozen=True, kw_only=True)
class LinearOptions(ArrayOptions):
    """Those of a linear unit. By layers that are resident, [options, 2, ...]: ``resources`` with one memory channel and
    ``latency`` of the array; of each memory channel more, ``channel``; beats of a pass's sums, ``chain``; ``passes``
    [options, products]: cycles of a pass of each product that is shared among the arrays, the last the head's; words of
    a layer in each RAM."""

    resources: np.ndarray
    latency: np.ndarray
    channel: np.ndarray
    chain: np.ndarray
    passes: np.ndarray
    layer_words: np.ndarray


@dataclass(frozen=True, kw_only=True)
class AttentionOptions(ArrayOptions):
    """Those of scores or sums: ``resources`` [options, styles, 5] by the RAMs of keys and values, ``latency`` of the
    array, cycles of a tile that sees all tokens (``full``), and of each tile of a decoder's prompts (``tiles``
    [options, lengths, tiles], 0 behind the last). Of scores also the ``style``, and by the cascades of the
    sums, [options, cascades, ...], the cycles of ``softmax``, also tile by tile, and those of what works row by row
    (``rows``)."""

    resources: np.ndarray
    latency: np.ndarray
    full: np.ndarray
    tiles: np.ndarray
    style: np.ndarray
    softmax: np.ndarray
    softmax_tiles: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SpatialTables:
    """All figures of a space: the ``options`` of every array, and by group the ``resources`` of the other units,
    ``stream`` cycles of a tile and of both ends, ``beats`` of parameters; ``joints``: resources of what joins units, of
    each pair of scores and sums, and where a group's begin. By the RAMs that are read at once the KV
    cache's ``cache_resources`` [on chip or off it, RAMs, 5], and ``cache_cycles`` to read a context."""

    network: Network
    groups: tuple[Group, ...]
    bases: tuple[PipelineSpec, ...]
    options: dict[str, Any]
    resources: np.ndarray
    stream: np.ndarray
    beats: np.ndarray
    joints: np.ndarray
    joint_start: np.ndarray
    cache_resources: np.ndarray
    cache_cycles: np.ndarray

    @property
    def pace_limits(self) -> np.ndarray:
        """The paces that balanced designs can have, [groups, fastest and slowest], in cycles a tile."""
        fastest = np.max([self.cycles_at(name, 0) for name in self.options], axis=0)
        slowest = np.max([self.cycles_at(name, -1) for name in self.options], axis=0)
        return np.stack([fastest, np.maximum(slowest, fastest)], axis=1).astype(float)

    def cycles_at(self, name: str, place: int) -> np.ndarray:
        """Cycles of an array's first or last option of each group."""
        options = self.options[name]
        return np.asarray(options.cycles[options.start if place == 0 else options.start + options.size - 1, 0])

    @property
    def least_dsps(self) -> int:
        """DSPs of the smallest design of all."""
        least = min(base.resources.dsp for base in self.bases)
        return int(least)

    def spec(self, **geometry: Any) -> PipelineSpec:
        """The pipeline of a geometry, through its spec."""
        return replace(self.bases[0], **geometry)

    @classmethod
    def build(cls, network: Network, prompt: int, output: int, *, every: bool = False) -> "SpatialTables":
        """Asks the specs.

        Raises:
            InputError: for a network that has no geometry.
        """
        if why := not_spatial(network):
            raise InputError(f"model {network.name!r} has no spatial design: {why}")
        total = prompt + output
        lengths, context = (prompt, total), prompt + output // 2
        groups, menus = [], []
        for rows, lanes in product(TILES, lane_choices(network)):
            found = menus_for(network, total, rows, *lanes)
            if found is not None:
                shapes = {name: [option.shape for option in menu] for name, menu in found.items()}
                groups.append((rows, *lanes))
                menus.append(every_shape(network, total, rows, shapes) if every else shapes)
        bases, kept = [], []
        for group, menu in zip(groups, menus, strict=True):
            base = smallest(network, total, group, menu)
            if base is not None:
                bases.append(base)
                kept.append((group, menu))
        if not kept:
            raise InputError(
                f"model {network.name!r} has no geometry whose layer lies on chip: its head size must be a multiple of"
                f" 8 and its matrices at most 4,096 long, not {network.head_size} and"
                f" {max(operator.inputs for operator in network.operators)}"
            )
        asked = SpecFigures(network, lengths, context)
        options: dict[str, Any] = {}
        attention = dict(zip(ATTENTION_ARRAYS, (asked.scores, asked.sums), strict=True))
        for name in array_names(network.layer):
            ask = attention.get(name, asked.linear)
            options[name] = (AttentionOptions if name in attention else LinearOptions).stacked(
                [ask(name, base, menu) for base, (_, menu) in zip(bases, kept, strict=True)]
            )
        pairs = zip(bases, options["scores"].shapes, options["sums"].shapes, strict=True)
        joints = [asked.joints(*pair) for pair in pairs]
        banks = sum(int((options[name].columns * options[name].cascades).max()) for name in ATTENTION_ARRAYS)
        caches = asked.caches(bases[0], banks)
        return cls(
            network=network, groups=tuple(group for group, _ in kept), bases=tuple(bases), options=options,
            resources=np.stack([counts(asked.rest(base)) for base in bases]),
            stream=np.array([asked.stream(base) for base in bases]),
            beats=np.array([base.sections["layer"].beats for base in bases]), joints=np.concatenate(joints),
            joint_start=np.cumsum([0, *map(len, joints[:-1])]), cache_resources=caches[0], cache_cycles=caches[1],
        )  # fmt: skip


def smallest(network: Network, max_length: int, group: Group, menu: dict[str, list[ArrayShape]]) -> PipelineSpec | None:
    """The pipeline of a group with the smallest shape of every array; None where the specs refuse it."""
    common: dict[str, Any] = {
        "layer": network.layer,
        "max_length": max_length,
        "max_layers": network.layers,
        **dict(zip(("rows", *LANES), group, strict=True)),
        "channels": (1,) * len(network.operators),
        "arrays": Arrays(**{name: shapes[-1] for name, shapes in menu.items()}),
    }
    try:
        if not network.causal:
            return PipelineSpec(**common)
        assert network.head is not None, f"{network.name} has no head"
        return DecoderLayerSpec(head=network.head, cache_on_chip=True, **common)
    except ValueError:
        return None


def every_shape(
    network: Network, max_length: int, rows: int, menu: dict[str, list[ArrayShape]]
) -> dict[str, list[ArrayShape]]:
    """All shapes that may work, those of a menu last; `SpecFigures` leaves out those that the specs refuse."""
    columns = {one.name: [c for c in divisors(one.outputs) if c <= MAX_COLUMNS] for one in network.operators}
    columns["scores"] = list(range(rows, -(-max_length // rows) * rows + 1, rows))
    columns["sums"] = divisors(network.head_size)
    shapes = {name: list(product(columns[name], range(1, MAX_CASCADES + 1))) for name in menu}
    return {
        name: [ArrayShape(*shape) for shape in shapes[name] if shape not in menu[name]] + menu[name] for name in menu
    }
