"""Attention scores: queries times keys, on a systolic array whose weights are the layer's keys."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal

from ..dsp import CASCADE
from ..memory import ReplaySpec
from .attention import AttentionSpec, AttentionUnit
from .banks import BankSpec, Placement
from .linear import exact_matmul
from .systolic import ArraySpec, SystolicArray

__all__ = ["Scores", "ScoresSpec"]


@dataclass(frozen=True, kw_only=True)
class ScoresSpec(AttentionSpec):
    """Geometry of the scores unit: a column holds a key in each pass, a pass contracts over the head's features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.columns % self.rows:
            raise ValueError(f"scores columns must be a multiple of its {self.rows} rows, not {self.columns}")
        if self.head_size % self.depth:
            raise ValueError(f"scores depth must divide the head size {self.head_size}, not {self.depth}")
        if CASCADE % self.lanes_stored:
            raise ValueError(f"scores key lanes must divide {CASCADE}, not {self.lanes_stored}")

    @property
    def words(self) -> int:
        """Words of queries a pass."""
        return self.head_size // self.depth

    def passes(self, tokens: int) -> int:
        """Passes a head and tile for a sequence of ``tokens``."""
        return ceil(tokens / self.columns)

    @property
    def banks(self) -> BankSpec:
        """Where a key lies: head, pass, word."""
        return BankSpec(
            max_tiles=self.max_tiles, heads=self.heads, max_passes=self.passes(self.max_length), max_words=self.words
        )

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        return ArraySpec(
            rows=self.rows, columns=self.columns, cascades=self.cascades, lanes=self.lanes, terms=self.head_size,
            least_words=self.words, ram_depth=self.banks.depth, ram_style=self.ram_style, byte_enables=True,
        )  # fmt: skip

    @property
    def replay(self) -> ReplaySpec:
        """The queries that wait for their layer's last key: at most those of a whole sequence, the tokens in flight."""
        words = self.max_tiles * self.heads * self.words
        style = "ultra" if words > 1024 else "block" if words > 64 else "distributed"
        return ReplaySpec(self.rows * self.depth * 8, words, style, self.banks.max_passes)

    def cycles(self, tokens: int) -> int:
        """Cycles a layer (paper, section 4: l^2 d / M)."""
        passes = self.tiles(tokens) * self.heads * self.passes(tokens)
        return passes * self.array.pass_cycles(self.words)

    def reference(self, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Scores, int64 [heads, queries, keys], of int8 [tokens, hidden] queries and keys (-127..127)."""
        split = [x.reshape(len(x), self.heads, self.head_size).transpose(1, 0, 2) for x in (queries, keys)]
        return exact_matmul(split[0], split[1].transpose(0, 2, 1))


class Scores(AttentionUnit):
    """The scores unit, with the key buffer and the queue of queries.

    Members: those of `AttentionUnit`, with keys ``stored``, queries as ``activations``, and for every tile and head
    `ScoresSpec.passes` * ``columns`` keys' scores as ``sums``; those beyond the sequence are garbage.
    """

    spec: ScoresSpec

    def placement(self) -> Placement:
        spec = self.spec
        beats = spec.head_size // spec.lanes_stored
        return Placement(spec.banks, steps=beats, steps_a_unit=spec.depth // spec.lanes_stored, unit_stride=1)

    def bounds(self, order: Any) -> tuple[Any, Any]:
        return self.spec.words, order.passes

    def write(self, m: Module, array: SystolicArray, placement: Placement, accept: Signal) -> None:
        """Writes each key's features as bytes of its column's words; a tile's keys lie in one group of columns of one
        pass."""
        spec = self.spec
        groups = spec.columns // spec.rows
        group, pass_start = Signal(range(max(groups, 2))), Signal(spec.banks.address)
        with m.If(placement.stored):
            m.d.sync += [group.eq(0), pass_start.eq(0)]
        with m.Elif(placement.tile):
            m.d.sync += group.eq(Mux(group == groups - 1, 0, group + 1))
            with m.If(group == groups - 1):
                m.d.sync += pass_start.eq(pass_start + spec.banks.pass_stride)

        beat = Signal(self.stored.payload.shape(), reset_less=True)
        address, byte = Signal(spec.banks.address, reset_less=True), Signal.like(placement.within, reset_less=True)
        enable = Signal(groups)
        m.d.sync += [
            beat.eq(self.stored.payload),
            address.eq(placement.base + pass_start),
            byte.eq(placement.within),
            enable.eq(Mux(accept, 1 << group, 0)),
        ]
        lanes = (1 << spec.lanes_stored) - 1
        for column, write in enumerate(array.write):
            key = spec.array.feature(column)
            value = beat[key % spec.rows].as_value()
            m.d.comb += [
                write.address.eq(address),
                write.data.eq(value.replicate(spec.depth // spec.lanes_stored)),
                write.enable.eq(Mux(enable[key // spec.rows], lanes << (byte * spec.lanes_stored), 0)),
            ]
