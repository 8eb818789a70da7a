"""The figures of every option of a streamed design, asked of its spec once, so that points are looked up.

A *group* is a tile with its lanes. Within it there are options of the one array, of the two arrays of attention, and of
the block of tiles that is held. No formula stands here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ....errors import InputError
from ....model.network import Network
from ....resources import Resources
from ...choice.estimated import MAX_STREAM_COLUMNS, blocks
from ...choice.one_pace import divisors
from ...geometry.arrays import ArrayShape
from ...geometry.pipeline_spec import unit_resources
from ...geometry.streamed_spec import StreamedSpec
from ...workload import TILES
from ..options import GroupOptions, Shapes
from ..pareto import nondominated
from ..points import counts

__all__ = ["TOKEN", "Arrays", "AttentionPairs", "StreamedTables"]

LANES = (1, 2, 4, 8)
MAX_CASCADES = 8
COLUMN_STEP = 4
"""Columns of the array are multiples of this and of the lanes: finer steps would not be told apart."""

MAX_KEYS, MAX_FEATURES, ATTENTION_CASCADES = 64, 64, (1, 2, 4, 8)
"""The largest arrays of attention: columns of the scores and of the sums, and cascades of both."""

TOKEN = 2
"""Beside `PROMPT` and `ALL` the third length that cycles are kept for: a token in the middle of the output."""

OWN_UNITS = {"array", "scores", "softmax", "sums", "residual", "kv_cache"}
"""Units that follow from an option."""


@dataclass(frozen=True, kw_only=True)
class Arrays(Shapes):
    """Options of the one array, the smallest first: its ``resources`` [options, 5]; ``cycles`` [options, lengths] of a
    layer but for attention; ``head`` cycles."""

    resources: np.ndarray
    cycles: np.ndarray
    head: np.ndarray


@dataclass(frozen=True, kw_only=True)
class AttentionPairs(GroupOptions):
    """Pairs of shapes of scores and sums that no other beats: ``resources`` of both, of softmax and of the buffers of
    keys and values [options, 5]; ``cycles`` of a layer's attention [options, lengths]."""

    resources: np.ndarray
    cycles: np.ndarray


@dataclass(frozen=True, kw_only=True)
class StreamedTables:
    """All figures of a space: ``groups`` (rows, lanes) with a spec each (``bases``), ``arrays`` and ``attention``; by
    group the ``blocks`` (tiles), with how many there are, and ``resources`` of the other units, [groups, blocks,
    cascades, 5]."""

    groups: tuple[tuple[int, int], ...]
    bases: tuple[StreamedSpec, ...]
    arrays: Arrays
    attention: AttentionPairs
    blocks: np.ndarray
    block_count: np.ndarray
    resources: np.ndarray

    @classmethod
    def build(cls, network: Network, prompt: int, output: int) -> "StreamedTables":
        """Asks the specs.

        Raises:
            InputError: for a network that has no geometry, with what the last one lacked.
        """
        kept: list[tuple[StreamedSpec, dict[str, Any], dict[str, Any], list[int]]] = []
        why = ""
        for rows, lanes in product(TILES, LANES):
            pairs: list[StreamedSpec] = []
            for scores, sums in attention_shapes(network, rows):
                try:
                    pairs.append(
                        StreamedSpec(
                            network=network, rows=rows, shape=ArrayShape(max(lanes, COLUMN_STEP), 1), block=1,
                            lanes=lanes, scores=scores, sums=sums, max_length=prompt + output, channels=1,
                        )
                    )  # fmt: skip
                except ValueError as error:
                    why = str(error)
            if pairs:
                tiles = sorted({*blocks(rows, prompt + output), -(-prompt // rows)})
                kept.append((pairs[0], arrays(pairs[0], prompt, output), attention(pairs, prompt, output), tiles))
        if not kept:
            raise InputError(f"model {network.name!r} has no streamed design: {why}")
        bases, found, pairs_found, tiles_found = zip(*kept, strict=True)
        most = max(map(len, tiles_found))
        padded = [[*tiles, *[tiles[-1]] * (most - len(tiles))] for tiles in tiles_found]
        return cls(
            groups=tuple((base.rows, base.lanes) for base in bases), bases=bases, arrays=Arrays.stacked(found),
            attention=AttentionPairs.stacked(pairs_found), blocks=np.array(padded),
            block_count=np.array([len(tiles) for tiles in tiles_found]),
            resources=np.stack([rest(*group) for group in zip(bases, padded, strict=True)]),
        )  # fmt: skip


def attention_shapes(network: Network, rows: int) -> Iterator[tuple[ArrayShape, ArrayShape]]:
    """Pairs of shapes of scores and sums, of which the specs refuse some."""
    keys = [rows * 2**power for power in range((MAX_KEYS // rows).bit_length())]
    features = [columns for columns in divisors(network.head_size) if columns <= MAX_FEATURES]
    for pair in product(product(keys, ATTENTION_CASCADES), product(features, ATTENTION_CASCADES)):
        yield ArrayShape(*pair[0]), ArrayShape(*pair[1])


def arrays(base: StreamedSpec, prompt: int, output: int) -> dict[str, Any]:
    """The options of the array of a group, the smallest first."""
    lengths = [-(-tokens // base.rows) for tokens in (prompt, prompt + output, 1)]
    step, network = max(base.lanes, COLUMN_STEP), base.network
    shapes = [
        ArrayShape(columns, cascades)
        for columns, cascades in product(range(step, MAX_STREAM_COLUMNS + 1, step), range(1, MAX_CASCADES + 1))
    ]
    shapes.sort(key=lambda shape: (shape.columns * shape.cascades, shape))
    specs = [replace(base, shape=shape) for shape in shapes]
    return {
        "shapes": shapes,
        "resources": np.stack([counts(spec.array.resources) for spec in specs]),
        "cycles": np.array([[spec.linear_cycles(tiles) for tiles in lengths] for spec in specs]),
        "head": np.array([spec.shared.product_cycles(network.hidden, network.vocabulary) for spec in specs]),
    }


def attention(specs: Sequence[StreamedSpec], prompt: int, output: int) -> dict[str, Any]:
    """The options of attention of a group."""
    phases = (prompt, 0), (prompt + output, 0), (1, prompt + output // 2)
    cycles = np.array([[spec.attention_cycles(*phase) for phase in phases] for spec in specs])
    units = [(spec.scores_unit, spec.softmax, spec.sums_unit, spec.cache) for spec in specs]
    resources = np.stack([counts(sum(map(unit_resources, each), Resources())) for each in units])
    rows, first = np.unique(np.concatenate([cycles, resources], axis=1), axis=0, return_index=True)
    kept = np.sort(first[nondominated(rows)])
    return {
        "shapes": [(specs[place].scores, specs[place].sums) for place in kept],
        "resources": resources[kept],
        "cycles": cycles[kept],
    }


def rest(base: StreamedSpec, tiles: Sequence[int]) -> np.ndarray:
    """What the other units of a group take, [blocks, cascades, 5], with what the block adds."""
    units: dict[str, Any] = {name: unit for name, unit in base.units.items() if name not in OWN_UNITS}
    common = sum((unit.resources for unit in units.values()), Resources())
    found = np.zeros((len(tiles), MAX_CASCADES + 1, len(counts(common))))
    for (place, block), cascades in product(enumerate(tiles), range(1, MAX_CASCADES + 1)):
        spec = replace(base, block=block, shape=ArrayShape(base.shape.columns, cascades))
        found[place, cascades] = counts(common + spec.residual.resources + spec.shared.buffer_resources)
    return found
