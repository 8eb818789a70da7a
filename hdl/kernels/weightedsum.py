"""Attention's weighted sums: softmax numerators times values, on a systolic array whose weights are the layer's
values."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal

from .activationbuffer import ActivationBufferSpec
from .arrayspec import ArraySpec
from .attention import AttentionUnit
from .attentionspec import AttentionSpec
from .banks import BankSpec, Placement
from .linear import exact_matmul

__all__ = ["WeightedSums", "WeightedSumsSpec"]


@dataclass(frozen=True, kw_only=True)
class WeightedSumsSpec(AttentionSpec):
    """The size of a weighted-sums unit. In each pass a column holds one feature, and the pass adds over the tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_size % self.columns:
            raise ValueError(f"weighted sums columns must divide the head size {self.head_size}, not {self.columns}")
        if self.columns % self.lanes_stored:
            raise ValueError(
                f"weighted sums value lanes must divide its {self.columns} columns, not {self.lanes_stored}"
            )

    @property
    def passes(self) -> int:
        """Passes per head and tile."""
        return self.head_size // self.columns

    def words(self, tokens: int) -> int:
        """Words of numerators in a pass, over ``tokens`` keys."""
        return ceil(tokens / self.depth)

    @property
    def banks(self) -> BankSpec:
        """Where the values lie: head, pass, word of tokens."""
        return self._banks(
            max_passes=self.passes, max_words=self.words(self.max_length), along="words", shares=self.slots
        )

    @property
    def slots(self) -> int:
        """Tiles whose values fill a word of tokens."""
        return self.depth // self.rows

    @cached_property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        return ArraySpec(
            rows=self.rows, columns=self.columns, cascades=self.cascades, lanes=self.lanes,
            terms=self.words(self.max_length) * self.depth, least_words=1,
            ram_depth=self.banks.depth, ram_style=self.ram_style, byte_enables=True,
            word_latency=self.buffer.read_latency,
        )  # fmt: skip

    @property
    def buffer(self) -> ActivationBufferSpec:
        """The numerators of a head: one is read while the next arrives."""
        return self._buffer(words=2 * self.words(self.max_length), max_repeat=self.passes)

    @property
    def bounds(self) -> dict[str, str | int]:
        return {"passes": self.passes, "words": "value_words"}

    @property
    def counts(self) -> dict[str, int]:
        return {"value_words": self.depth}

    def tile_cycles(self, tokens: int) -> int:
        return self.heads * self.passes * self.array.pass_cycles(self.words(tokens))

    def reference(self, numerators: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sums, int64 [tokens, hidden], of numerators [heads, tokens, keys] and int8 values [keys, hidden]
        (-127..127)."""
        split = values.reshape(len(values), self.heads, self.head_size).transpose(1, 0, 2)
        sums = exact_matmul(numerators, split)
        return sums.transpose(1, 0, 2).reshape(numerators.shape[1], self.heads * self.head_size)


class WeightedSums(AttentionUnit):
    """The weighted-sums unit, with the banks of values.

    Members: those of `AttentionUnit`, with values ``stored``; ``activations`` are for every tile and head the
    numerators of `WeightedSumsSpec.words` * D keys in order, zero beyond the sequence.
    """

    spec: WeightedSumsSpec

    def placement(self) -> Placement:
        spec = self.spec
        beats = spec.head_size // spec.lanes_stored
        turns = spec.columns // spec.lanes_stored  # beats that fill a pass's columns
        return spec.banks.placement(beats=beats, unit_beats=turns, unit_stride=spec.banks.pass_stride)

    def bounds(self, order: Any) -> tuple[Any, Any]:
        return order.words, self.spec.passes

    def write(self, m: Module, ports: Sequence[Any], placement: Placement, accept: Signal) -> None:
        """Writes a feature's T tokens as bytes of its column's word of tokens.

        The values of a tile lie in one slot of ``rows`` bytes of one word. With 4 rows, 4 columns, words of 16 bytes
        and beats of 2 features, the second beat of tile 5 has features 2 and 3 of the tokens 20 to 23. They are written
        to the bytes 4 to 7 of word 1 of pass 0, in the columns that compute the features 2 and 3 of each pass.
        """
        spec = self.spec
        slot, word_start = placement.share(m, "word_start")
        beat = Signal(self.stored.payload.shape(), reset_less=True)
        address = Signal(spec.banks.address, reset_less=True)
        turn = Signal(spec.columns // spec.lanes_stored)
        written = Signal(spec.depth, reset_less=True)  # bytes of the word
        m.d.sync += [
            beat.eq(self.stored.payload),
            address.eq(placement.base + word_start),
            turn.eq(Mux(accept, 1 << placement.within, 0)),
            written.eq(placement.rows << (slot * spec.rows)),
        ]
        for column, write in enumerate(ports):
            feature = spec.array.feature(column)
            tokens = Cat(beat[row][feature % spec.lanes_stored] for row in range(spec.rows))
            m.d.comb += [
                write.address.eq(address.replicate(spec.cascades)),
                write.data.eq(tokens.replicate(spec.slots)),
                write.enable.eq(Mux(turn[feature // spec.lanes_stored], written, 0)),
            ]
