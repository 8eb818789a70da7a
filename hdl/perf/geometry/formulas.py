"""Formulas of cycles and bytes that estimates of one design and explorations of many share.

All take numbers, or numpy arrays with a number for each design.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np

from ...channel import BEAT_BYTES
from ...dsp import CASCADE
from ...kernels.scores import ScoresSpec
from ...kernels.softmax import SoftmaxSpec
from ...kernels.weightedsum import WeightedSumsSpec

__all__ = [
    "AttentionUnit",
    "attention_cycles",
    "average_tile",
    "block_divisor",
    "busy_cycles",
    "encoder_cycles",
    "filling",
    "held_weights",
    "loads",
    "overlapped",
    "prompt_cycles",
    "reload_cycles",
    "ring_cycles",
    "tile_latency",
    "tiles_cycles",
    "unheld_bytes",
]

AttentionUnit = SoftmaxSpec | ScoresSpec | WeightedSumsSpec
"""The units whose cycles depend on the keys that a tile sees."""


def loads(products: Sequence[tuple[int, int, int]], *, columns: Any, depths: Any, beats_a_word: Any, held: Any) -> Any:
    """Beats of int8 weights in the slowest unit's channels for all shared ``products``, (inputs, outputs, how often),
    and those of the last that are behind the words ``held`` in its RAMs. Arrays [units] or [units, cases], ``columns``
    of all together.
    """
    words = [times * -(-outputs // columns) * -(-inputs // depths) for inputs, outputs, times in products]
    behind = np.maximum(0, words[-1] - held) * beats_a_word
    return (sum(words) * beats_a_word).max(axis=0), behind.max(axis=0)


def held_weights(columns: Any, cascades: Any, depths: Any) -> Any:
    """Weights that the RAMs of all arrays hold, of so many words each. Arrays [units] or [units, cases]."""
    return (columns * cascades * CASCADE * depths).sum(axis=0)


def unheld_bytes(head: Any, held: Any) -> Any:
    """Bytes of the head's weights behind those that the RAMs hold already. Numbers, or arrays of them."""
    return np.maximum(0.0, head - held)


def filling(products: Sequence[tuple[int, int, int]], channels: Any, load: Any) -> Any:
    """Share of what so many memory channels could bring that a token's weights are, which are loaded in ``load``
    cycles: the unit whose channels have the most beats sets the pace, and not every beat is full. Products as `loads`
    has them; numbers, or arrays of them."""
    weights = sum(inputs * outputs * times for inputs, outputs, times in products)
    return weights / (BEAT_BYTES * channels * load)


def block_divisor(hidden: int, intermediate: int, cascades: Any) -> Any:
    """What the words of a block of weights must divide, so that all products are of whole blocks: the words of each
    product in each RAM of an array of so many cascades are a multiple of it. A number, or an array of them."""
    return gcd(hidden, intermediate) // (CASCADE * cascades)


def attention_cycles(full: Any, latencies: Any, reading: Any, heads: int) -> list[Any]:
    """Cycles of a token's scores and weighted sums, which take ``full`` cycles each for all heads, and no fewer than
    half of the cycles for ``reading`` keys and values; with the latencies of their arrays. Numbers, or arrays of
    them."""
    scores, sums = (np.maximum(one, reading // 2) for one in full)
    busy = overlapped(scores, sums, heads)
    return [one + latency for one, latency in zip(busy, latencies, strict=True)]


def overlapped(scores: Any, sums: Any, heads: int) -> tuple[Any, Any]:
    """Cycles of a token's scores and weighted sums, of so many each alone, as one comes behind the other: of the faster
    one a head counts. Numbers, or arrays of them."""
    slower = scores >= sums
    return np.where(slower, scores, -(-scores // heads)), np.where(slower, -(-sums // heads), sums)


def ring_cycles(tiles: Any, rounds: Any, *, busy: Any, loop: Any, reload: Any) -> Any:
    """Cycles of a prompt of ``tiles`` that goes ``rounds`` times around a ring, whose slowest unit is ``busy`` with all
    of them for so long, whose units take a single one ``loop`` cycles together, and whose weights are ``reload`` cycles
    late between rounds. Numbers, or arrays of them."""
    return (rounds - 1) * (np.maximum(busy, loop) + reload) + loop + busy - busy // tiles


def busy_cycles(tiles: Any, pace: Any, attention: Any) -> Any:
    """Cycles of all ``tiles`` of a prompt, each in the unit that is slowest with it: the first in what takes all tiles
    the same, so long as the ``pace``, those that see many keys in ``attention``, whose slowest unit takes each so long.
    Numbers and an array [tiles], or arrays of numbers and [cases, tiles], 0 behind the last."""
    return tiles * pace + np.maximum(0, attention - np.expand_dims(pace, -1)).sum(axis=-1)


def tile_latency(cycles: Any, latencies: Any, stream: Any) -> Any:
    """Cycles of a tile through all units, each of which needs its whole rows: its ``cycles`` in the arrays, the
    ``latencies`` of these, and those of its ``stream`` between them. Numbers, or arrays of them."""
    return sum(cycles) + sum(latencies) + stream


@lru_cache(maxsize=1 << 14)
def average_tile(unit: AttentionUnit, tokens: int) -> int:
    """Cycles of a tile of a prompt of ``tokens`` on average."""
    cycles = prompt_cycles(unit, tokens)
    return -(-int(cycles.sum()) // len(cycles))


def prompt_cycles(unit: AttentionUnit, tokens: int) -> np.ndarray:
    """Cycles of each tile of a prompt of ``tokens``, which sees the keys up to its own place."""
    return tiles_cycles(unit, tuple(min(end, tokens) for end in range(unit.rows, tokens + unit.rows, unit.rows)))


@lru_cache(maxsize=1 << 14)
def tiles_cycles(unit: AttentionUnit, seen: tuple[int, ...]) -> np.ndarray:
    """Cycles of tiles that see so many keys each, all heads of them. They are kept: geometries that are compared have
    most of their units in common."""
    return np.array([unit.tile_cycles(tokens) for tokens in seen])


def reload_cycles(beats: Any, cycles: Any, weight_layers: Any) -> Any:
    """Cycles from a layer to the next in which the slowest linear unit's weights are not there yet, if only one layer's
    lie on chip: they come in while the last tile of the layer before lets its own go. ``beats`` of a layer's weights
    and ``cycles`` of a tile, [units] or [units, points]; numbers of ``weight_layers``, or an array of them."""
    late = np.max(np.subtract(beats, cycles), axis=0)
    return np.where(np.asarray(weight_layers) > 1, 0, np.maximum(0, late))


def encoder_cycles(tiles: Any, layers: int, pace: Any, lead: Any, fill: Any, reload: Any) -> Any:
    """Cycles of a run, about: the first layer's keys and values, two of three parts of ``lead`` a tile; in every layer
    a tile through all units, the ``fill``, and the others behind it at the ``pace`` of the slowest; between layers what
    the weights are later than that. Numbers, or arrays of them."""
    between = np.maximum(0, reload - fill)
    return layers * ((tiles - 1) * pace + fill) + 2 * tiles * lead // 3 + (layers - 1) * between
