"""Attention scores: queries times keys, on a systolic array whose weights are the layer's keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal

from ..dsp import CASCADE
from .activationbuffer import ActivationBufferSpec
from .arrayspec import ArraySpec
from .attention import AttentionUnit
from .attentionspec import AttentionSpec
from .banks import BankSpec, Placement
from .linear import exact_matmul

__all__ = ["Scores", "ScoresSpec"]


@dataclass(frozen=True, kw_only=True)
class ScoresSpec(AttentionSpec):
    """The size of a scores unit. In each pass a column holds one key; the pass adds over the features of the head."""

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
        """Words of queries in a pass."""
        return self.head_size // self.depth

    def passes(self, tokens: int) -> int:
        """Passes per head and tile, over ``tokens`` keys."""
        return ceil(tokens / self.columns)

    @property
    def banks(self) -> BankSpec:
        """Where the keys lie: head, pass, word."""
        return self._banks(
            max_passes=self.passes(self.max_length), max_words=self.words, along="passes", shares=self.groups
        )

    @property
    def groups(self) -> int:
        """Tiles whose keys fill the columns of a pass."""
        return self.columns // self.rows

    @cached_property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        return ArraySpec(
            rows=self.rows, columns=self.columns, cascades=self.cascades, lanes=self.lanes, terms=self.head_size,
            least_words=self.words, ram_depth=self.banks.depth, ram_style=self.ram_style, byte_enables=True,
            word_latency=self.buffer.read_latency,
        )  # fmt: skip

    @property
    def buffer(self) -> ActivationBufferSpec:
        """The queries that wait for keys: see `BankSpec.tiles_ahead`."""
        return self._buffer(words=self.banks.tiles_ahead * self.heads * self.words, max_repeat=self.banks.max_passes)

    @property
    def bounds(self) -> dict[str, str | int]:
        return {"passes": "key_passes", "words": self.words}

    @property
    def counts(self) -> dict[str, int]:
        return {"key_passes": self.columns}

    def tile_cycles(self, tokens: int) -> int:
        return self.heads * self.passes(tokens) * self.array.pass_cycles(self.words)

    def reference(self, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Scores, int64 [heads, queries, keys], of int8 [tokens, hidden] queries and keys (-127..127).

        Queries and keys may differ in number: a tile's queries against all keys up to them.
        """
        split = [x.reshape(len(x), self.heads, self.head_size).transpose(1, 0, 2) for x in (queries, keys)]
        return exact_matmul(split[0], split[1].transpose(0, 2, 1))


class Scores(AttentionUnit):
    """The scores unit, with the banks of keys and the queue of queries.

    Members: those of `AttentionUnit`, with keys ``stored``, queries as ``activations``, and for every tile and head
    `ScoresSpec.passes` * ``columns`` keys' scores as ``sums``; those beyond the sequence are garbage.
    """

    spec: ScoresSpec

    def placement(self) -> Placement:
        spec = self.spec
        beats = spec.head_size // spec.lanes_stored
        return spec.banks.placement(beats=beats, unit_beats=spec.depth // spec.lanes_stored, unit_stride=1)

    def bounds(self, order: Any) -> tuple[Any, Any]:
        return self.spec.words, order.passes

    def write(self, m: Module, ports: Sequence[Any], placement: Placement, accept: Signal) -> None:
        """Writes each key's features as bytes of its column's words.

        The keys of a tile lie in one group of ``rows`` columns of one pass. With 4 rows, 8 columns, words of 16 bytes
        and beats of 2 features, the second beat of tile 3 has features 2 and 3 of the keys 12 to 15. It is written to
        the bytes 2 and 3 of word 0 of pass 1, in the columns that compute keys 4 to 7 of each pass.
        """
        spec = self.spec
        group, pass_start = placement.share(m, "pass_start")
        beat = Signal(self.stored.payload.shape(), reset_less=True)
        address = Signal(spec.banks.address, reset_less=True)
        byte = Signal.like(placement.within, reset_less=True)
        enable = Signal(spec.groups)
        m.d.sync += [
            beat.eq(self.stored.payload),
            address.eq(placement.base + pass_start),
            byte.eq(placement.within),
            enable.eq(Mux(accept, 1 << group, 0)),
        ]
        enables = placement.enables(m, enable)
        lanes = (1 << spec.lanes_stored) - 1
        for column, write in enumerate(ports):
            key = spec.array.feature(column)
            value = beat[key % spec.rows].as_value()
            m.d.comb += [
                write.address.eq(address.replicate(spec.cascades)),
                write.data.eq(value.replicate(spec.depth // spec.lanes_stored)),
                write.enable.eq(Mux(enables[key], lanes << (byte * spec.lanes_stored), 0)),
            ]
