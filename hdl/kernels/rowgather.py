"""Row gather: makes tiles of tokens that arrive one after the other.

The token at position p becomes row p mod T of tile p // T. Rows without a token of the run get copies of another token:
a run's first token is written into all rows of its tile, each later one into its own row and the rows after it, which
the next tokens overwrite. With T = 4, a run of the positions 5 and 6 gives one tile with the rows 5, 5, 6, 6.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted, Turns
from ..delay_registers import delay
from ..ram import RegisteredRam, RegisteredRamSpec, small_style
from ..resources import Resources
from ..stream import PipelineBuffer, Unpack, buffer_resources, connect, join, pipeline_resources, tile

__all__ = ["VALUE", "RowGather", "RowGatherSpec", "TokenRun", "each_token"]

VALUE = signed(16)

TILES = 2
"""Tiles in the memory: one is sent while the next is gathered."""


class TokenRun(data.StructLayout):
    """A run of tokens at consecutive positions below ``positions``: its first ``position``, and its ``tokens`` (at
    least 1)."""

    def __init__(self, positions: int):
        bits = {"position": max(1, (positions - 1).bit_length()), "tokens": positions.bit_length()}
        super().__init__({name: unsigned(width) for name, width in bits.items()})


class Token(NamedTuple):
    """The present token: whether there is one, its position, and whether it is its run's first, and last."""

    valid: Signal
    position: Signal
    first: Signal
    last: Signal


def each_token(m: Module, runs: stream.Interface, step: Value) -> Token:
    """The tokens of ``runs``, one after the other: ``step`` moves on to the next, which is there in the next cycle."""
    run = runs.payload
    valid, first = Signal(name="token_valid"), Signal(name="token_first", reset_less=True)
    position = Signal.like(run.position, name="token_position", reset_less=True)
    behind = Signal.like(run.tokens, name="tokens_behind", reset_less=True)
    last = Signal(name="token_last", reset_less=True)
    take = runs.valid & runs.ready
    m.d.comb += runs.ready.eq(~valid | (step & last))
    m.d.sync += valid.eq(take | (valid & ~(step & last)))
    with m.If(take):
        m.d.sync += [position.eq(run.position), behind.eq(run.tokens - 1), first.eq(1), last.eq(run.tokens == 1)]
    with m.Elif(step):
        m.d.sync += [position.eq(position + 1), behind.eq(behind - 1), first.eq(0), last.eq(behind == 1)]
    return Token(valid, position, first, last)


@dataclass(frozen=True, kw_only=True)
class RowGatherSpec:
    """The size of a row gather.

    Attributes:
        rows: tokens of a tile, a power of two.
        lanes: features of a row in a beat of a tile.
        width: features of a token that arrive at a time.
        features: features of a token, of 16 bits.
        positions: positions of the longest sequence.

    Raises:
        ValueError: for sizes below 1, rows that are no power of two, and lanes that do not divide features and width.
    """

    rows: int
    lanes: int
    width: int
    features: int
    positions: int

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "width", "features", "positions"):
            if getattr(self, name) < 1:
                raise ValueError(f"row gather {name} must be at least 1, not {getattr(self, name)}")
        if self.rows & (self.rows - 1):
            raise ValueError(f"row gather rows must be a power of two, not {self.rows}")
        for name in ("features", "width"):
            if getattr(self, name) % self.lanes:
                raise ValueError(
                    f"row gather {name} must be a multiple of {self.lanes} lanes, not {getattr(self, name)}"
                )

    @property
    def words(self) -> int:
        """Words of ``width`` features of a token."""
        return ceil(self.features / self.width)

    @property
    def ram(self) -> RegisteredRamSpec:
        """The memory of `TILES` tiles; each row can be written alone."""
        depth = TILES << (self.words - 1).bit_length()
        return RegisteredRamSpec(self.rows * self.width * VALUE.width, depth, small_style(depth), groups=self.rows)

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of the first word of a tile's last token to the tile's first beat."""
        return 1 + self.ram.latency + 1 + 1  # count, RAM, buffer, beat

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other."""
        return max(self.rows * self.words, self.features // self.lanes)

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        width, parts = self.ram.width, self.width // self.lanes
        sent = pipeline_resources(width, self.ram.latency + 2)
        beats = buffer_resources(width // parts, 2) + Resources(lut=width // 3 * (parts > 1))
        bits = self.words.bit_length() + self.positions.bit_length()
        return self.ram.resources + sent + beats + Resources(lut=30 + 5 * bits, ff=10 + 4 * bits)

    def reference(self, tokens: np.ndarray, start: int) -> np.ndarray:
        """The tiles [tiles * rows, features] of ``tokens`` [n, features], which begin at the position ``start``."""
        first, last = start % self.rows, len(tokens) - 1
        rows = ceil((first + len(tokens)) / self.rows) * self.rows
        return tokens[np.clip(np.arange(rows) - first, 0, last)]


class RowGather(wiring.Component):
    """The row gather: one word per cycle; `RowGatherSpec.latency`.

    A tile is sent while its last token arrives, or the next tile. Members: ``runs`` (stream of `TokenRun`), ``tokens``
    (tile stream, 1 x width of 16 bits), ``tiles`` (tile stream, rows x lanes of 16 bits).
    """

    def __init__(self, spec: RowGatherSpec):
        self.spec = spec
        super().__init__(
            {
                "runs": In(stream.Signature(TokenRun(spec.positions))),
                "tokens": In(stream.Signature(tile(1, spec.width, VALUE))),
                "tiles": Out(stream.Signature(tile(spec.rows, spec.lanes, VALUE))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.ram = ram = RegisteredRam(spec.ram)
        begun = Signal(range(TILES + 1))
        complete = Signal()
        begins = self._write(m, ram, begun != TILES, complete)
        m.d.sync += begun.eq(begun + begins - self._send(m, ram, complete))
        return m

    def _write(self, m: Module, ram: RegisteredRam, room: Value, complete: Signal) -> Value:
        """Writes tokens into their rows. Drives ``complete``: a word has all of its rows.

        Returns the strobe of a tile's first word, for which there must be ``room``.
        """
        spec = self.spec
        word = Turns("word", spec.words)
        half = Signal()
        go = Signal(name="write")
        token = each_token(m, self.runs, go & word.last)
        row = token.position & (spec.rows - 1)
        opens = (token.first | (row == 0)) & (word.count == 0)
        m.d.comb += [
            go.eq(join(m, [self.tokens], token.valid & (room | ~opens))),
            complete.eq(go & (token.last | (row == spec.rows - 1))),
        ]
        word.step(m, go)
        m.d.sync += half.eq(half ^ (complete & word.last))
        m.d.comb += [
            ram.write_enable.eq(Cat(go & (token.first | (row <= r)) for r in range(spec.rows))),
            ram.write_address.eq(Cat(word.count, half)),
            ram.write_data.eq(self.tokens.payload),
        ]
        return go & opens

    def _send(self, m: Module, ram: RegisteredRam, complete: Value) -> Value:
        """Reads the ``complete`` words and sends them in beats; returns the strobe of a tile's last word."""
        spec = self.spec
        parts, beats = spec.width // spec.lanes, spec.features // spec.lanes
        m.submodules.sent = sent = PipelineBuffer(tile(spec.rows, spec.width, VALUE), ram.spec.latency + 2)
        m.submodules.cut = cut = Unpack(spec.rows, spec.lanes, parts, VALUE, beats=beats)
        connect(m, sent.output, cut.input)
        connect(m, cut.output, self.tiles)
        word, half = Turns("word_sent", spec.words), Signal(name="half_sent")
        waiting = Counted("waiting", TILES * spec.words, init=0)
        read = waiting.some & sent.room
        ends = read & word.last
        word.step(m, read)
        waiting.step(m, up=complete, down=read)
        m.d.sync += half.eq(half ^ ends)
        m.d.comb += [
            ram.read_address.eq(Cat(word.count, half)),
            sent.take.eq(read),
            sent.push.eq(delay(m, "read", read, ram.spec.latency, control=True)),
            Value.cast(sent.payload).eq(ram.read_data),
        ]
        return ends
