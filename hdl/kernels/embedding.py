"""Embedding: makes tiles of token ids. A row is the sum of a word's row and a position's row of tables in memory.

    sum[feature] = saturate(word[id][feature] + position[p][feature], 16)

`rowgather` puts the sums into the rows of tiles. The position's row is requested first, because its address is known
before the id. It waits in a FIFO while the word's row arrives.
"""

from dataclasses import dataclass
from math import ceil
from operator import add
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import BEAT_BYTES, CHANNEL_BITS, Request
from ..delay_registers import advance, delay, registered_tree, tree_levels, tree_registers
from ..fixed import limits, saturate, saturated
from ..resources import Resources
from ..stream import BUFFER_DEPTH, Fork, PipelineBuffer, Unpack, buffer_resources, connect, pipeline_resources, tile
from .fetch import ADDRESS_BITS, Fetch, FetchSpec
from .residual import ResidualAdd, ResidualSpec
from .rowgather import VALUE, RowGather, RowGatherSpec, TokenRun, each_token
from .unit import UnitSpec

__all__ = ["Embedding", "EmbeddingSpec"]

BEAT_VALUES = CHANNEL_BITS // VALUE.width


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec(UnitSpec):
    """The size of an embedding from two tables in one memory channel.

    Attributes:
        rows: tokens of a tile.
        lanes: features of a row in a beat.
        hidden: features of a token.
        vocabulary: rows of the word table.
        positions: rows of the position table.
        latency_cycles: cycles of the memory from a request to its first beat.
        width: features of a token that are read and added per cycle, a multiple of ``lanes`` (0: as many as ``lanes``).

    Raises:
        ValueError: for sizes that cannot work, with the figure that is wrong.
    """

    rows: int
    lanes: int
    hidden: int
    vocabulary: int
    positions: int
    latency_cycles: int
    width: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.width or self.lanes)
        if self.vocabulary < 1:
            raise ValueError(f"embedding vocabulary must be at least 1, not {self.vocabulary}")
        if self.width > BEAT_VALUES:
            raise ValueError(
                f"embedding width must be up to the {BEAT_VALUES} features of a memory beat, not {self.width}"
            )
        # The other sizes are those of the tiles, which `gather` checks.
        if self.beats > 1 << ADDRESS_BITS:
            raise ValueError(f"embedding tables must have up to {1 << ADDRESS_BITS} beats, not {self.beats}")

    @property
    def words(self) -> int:
        """Words of ``width`` features of a row."""
        return self.gather.words

    @property
    def beat_words(self) -> int:
        """Words of a memory beat; the rest of the beat is not used."""
        return BEAT_VALUES // self.width

    @property
    def row_beats(self) -> int:
        """Memory beats of a row."""
        return ceil(self.words / self.beat_words)

    @property
    def beats(self) -> int:
        """Memory beats of both tables."""
        return (self.vocabulary + self.positions) * self.row_beats

    @property
    def fetch(self) -> FetchSpec:
        """The reader of rows."""
        return FetchSpec(max_beats=self.row_beats, latency_cycles=self.latency_cycles)

    @property
    def addition(self) -> ResidualSpec:
        """The addition, in whose FIFO a position's row waits for the word's."""
        return ResidualSpec(rows=1, lanes=self.width, features=self.words * self.width, depth=self.words)

    @property
    def gather(self) -> RowGatherSpec:
        """The unit that makes rows of tokens."""
        return RowGatherSpec(
            rows=self.rows, lanes=self.lanes, width=self.width, features=self.hidden, positions=self.positions
        )

    @property
    def row_terms(self) -> list[int]:
        """The set bits of `row_beats`: the address of a row is the sum of its number, shifted by each of them."""
        return [bit for bit in range(self.row_beats.bit_length()) if self.row_beats >> bit & 1]

    @property
    def address_stages(self) -> int:
        """Registers from an id to its row's address: the row's number, and its product with `row_beats`."""
        return 1 + tree_levels(len(self.row_terms), 2)

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of an order, if its id is there, to the first beat of its only tile.

        The position's row comes first; the tile is sent while the word's row arrives.
        """
        come = self.ask_latency + self.latency_cycles + self.fetch.data_latency
        return come + 1 + self.wait_cycles + self.addition.latency + self.gather.latency

    @property
    def ask_latency(self) -> int:
        """Cycles from the acceptance of an order, if its id is there, to the request of the first row."""
        return 2 + self.address_stages + 1 + self.fetch.request_latency  # fork, token, address, buffer

    @property
    def wait_cycles(self) -> int:
        """Cycles from a position's first word to the word that is added to it: a row's, or the FIFO's if more."""
        return max(self.words, self.addition.skip_latency - self.addition.latency)

    @property
    def token_cycles(self) -> int:
        """Cycles per token, if one token follows the other.

        A short row waits in the buffer of the addition. Its position's place in the FIFO is free after 3 cycles.
        """
        waited = self.wait_cycles if self.words > BUFFER_DEPTH else max(self.words, 3 - self.words)
        return self.words + waited

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other."""
        return max(self.rows * self.token_cycles, self.gather.cycles())

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        word, order = self.width * VALUE.width, TokenRun(self.positions).size
        terms = len(self.row_terms)
        number = Resources(ff=(self.vocabulary + self.positions).bit_length())
        product = Resources(lut=ADDRESS_BITS * terms, ff=ADDRESS_BITS * tree_registers(terms, 2))
        ask = number + product + pipeline_resources(ADDRESS_BITS, self.address_stages + 2)
        cut = buffer_resources(word, 2) + Resources(lut=word * self.beat_words // 3)
        # No places are rounded off here, so that part of the residual addition is optimised away.
        sums = self.addition.fifo.resources + pipeline_resources(word + self.width, self.addition.latency + 1)
        sums += Resources(lut=2 * word, ff=3 * word)
        control = buffer_resources(order, 2) * 2 + Resources(lut=100, ff=80)
        return self.fetch.resources + ask + cut + sums + self.gather.resources + control

    def pack(self, word: np.ndarray, position: np.ndarray) -> np.ndarray:
        """The memory image, uint8 [beats, 64], of tables of 16-bit values [vocabulary, hidden] and [positions, hidden].

        The rows of the positions follow those of the words.

        Raises:
            ValueError: for tables of other sizes, and values of more than 16 bits.
        """
        low, high = limits(VALUE.width)
        for name, table, rows in (("word", word, self.vocabulary), ("position", position, self.positions)):
            if table.shape != (rows, self.hidden):
                raise ValueError(
                    f"{name} table must be {rows} x {self.hidden}, not {' x '.join(map(str, table.shape))}"
                )
            if table.min() < low or table.max() > high:
                raise ValueError(f"{name} table must be {low}..{high}, not {table.min()}..{table.max()}")
        rows, used = self.vocabulary + self.positions, self.beat_words * self.width
        padded = np.zeros((rows, self.row_beats * used), dtype="<i2")
        padded[:, : self.hidden] = np.concatenate([word, position])
        beats = np.zeros((rows * self.row_beats, BEAT_VALUES), dtype="<i2")
        beats[:, :used] = padded.reshape(-1, used)
        return beats.view(np.uint8).reshape(-1, BEAT_BYTES)

    def reference(self, word: np.ndarray, position: np.ndarray, ids: np.ndarray, start: int = 0) -> np.ndarray:
        """The tiles [tiles * rows, hidden] of a run of ``ids``, whose first token has the position ``start``."""
        sums = np.asarray(word, dtype=np.int64)[ids] + position[start : start + len(ids)]
        return self.gather.reference(saturate(sums, VALUE.width), start)


class Embedding(wiring.Component):
    """The embedding: `EmbeddingSpec.cycles` per tile, `EmbeddingSpec.latency`.

    It requests rows ahead, so that the memory's latency costs no cycles.

    Members:
        order: stream of `TokenRun`.
        ids: stream of token ids below ``vocabulary``.
        requests, data: streams of `Request` and of 512-bit beats; memory has `EmbeddingSpec.pack` from address 0 on.
        tokens: tile stream, rows x lanes signed 16.
    """

    def __init__(self, spec: EmbeddingSpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(TokenRun(spec.positions))),
                "ids": In(stream.Signature(unsigned(max(1, (spec.vocabulary - 1).bit_length())))),
                "requests": Out(stream.Signature(Request)),
                "data": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "tokens": Out(stream.Signature(tile(spec.rows, spec.lanes, VALUE))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.orders = orders = Fork(self.order.payload.shape(), 2)
        m.submodules.fetch = fetch = Fetch(spec.fetch)
        m.submodules.add = adder = ResidualAdd(spec.addition)
        connect(m, self.order, orders.input)
        self._ask(m, orders.outputs[0], fetch.order)
        connect(m, fetch.requests, self.requests)
        connect(m, self.data, fetch.response)
        self._deal(m, fetch.data, adder)
        m.submodules.gather = gather = RowGather(spec.gather)
        connect(m, orders.outputs[1], gather.runs)
        connect(m, gather.tiles, self.tokens)
        m.d.comb += [
            gather.tokens.valid.eq(adder.total.valid),
            adder.total.ready.eq(gather.tokens.ready),
            *(
                value.eq(saturated(total, VALUE.width))
                for value, total in zip(gather.tokens.payload[0], adder.total.payload[0], strict=True)
            ),
        ]
        return m

    def _ask(self, m: Module, orders: stream.Interface, rows: stream.Interface) -> None:
        """Requests two rows for each token: its position's, and, when its id is there, its word's."""
        spec = self.spec
        m.submodules.asked = asked = PipelineBuffer(spec.fetch.order, spec.address_stages + 2)
        connect(m, asked.output, rows)
        word = Signal()
        go = Signal(name="ask")
        token = each_token(m, orders, go & word)
        m.d.sync += word.eq(word ^ go)
        number = Signal(range(spec.vocabulary + spec.positions), reset_less=True)
        m.d.sync += number.eq(Mux(word, self.ids.payload, spec.vocabulary + token.position))
        terms = [number << bit for bit in spec.row_terms]
        m.d.comb += [
            go.eq(token.valid & asked.room & (~word | self.ids.valid)),
            self.ids.ready.eq(token.valid & asked.room & word),
            asked.take.eq(go),
            asked.push.eq(delay(m, "asked", go, spec.address_stages, control=True)),
            asked.payload.address.eq(registered_tree(m, "address", terms, add, fan_in=2)),
            asked.payload.beats.eq(spec.row_beats),
        ]

    def _deal(self, m: Module, beats: stream.Interface, adder: ResidualAdd) -> None:
        """Cuts beats into words, and sends the rows in turn to the two sides of the addition."""
        spec = self.spec
        m.submodules.cut = cut = Unpack(1, spec.width, spec.beat_words, VALUE, beats=spec.words)
        word = Signal(range(max(spec.words, 2)))
        second = Signal()
        go = cut.output.valid & cut.output.ready
        advance(m, word, spec.words, go)
        m.d.sync += second.eq(second ^ (go & (word == spec.words - 1)))
        m.d.comb += [
            cut.input.valid.eq(beats.valid),
            Value.cast(cut.input.payload).eq(beats.payload),
            beats.ready.eq(cut.input.ready),
            adder.skip.valid.eq(cut.output.valid & ~second),
            adder.branch.valid.eq(cut.output.valid & second),
            cut.output.ready.eq(Mux(second, adder.branch.ready, adder.skip.ready)),
            adder.skip.payload.eq(cut.output.payload),
            adder.branch.payload.eq(cut.output.payload),
            # No places to round off.
            adder.channels.valid.eq(1),
        ]
