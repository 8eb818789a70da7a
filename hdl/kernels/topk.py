"""Top k: the k largest of a row of logits with their tokens, best first; of equal logits the lower token first.

A sorted row of cells takes one candidate per cycle: each cell below the candidate takes the candidate or the content of
its better neighbour. The candidates of a beat are the lanes above the k-th cell, the *bound*. Once the cells are full,
most beats have no candidate and pass at one per cycle. The bound is some cycles old when a lane is compared with it, so
a candidate may be too low already; the cells compare again and drop it. Tokens come in order, so among equal logits the
one that is in a cell has the lower token.

After the last candidate the cells move up, one in each cycle, into a FIFO that has room for all results.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from operator import or_
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Turns
from ..delay_registers import KEEP
from ..resources import Resources
from ..stream import BUFFER_DEPTH, SLICE_BITS, StreamBuffer, buffer_resources, connect, join, pieces, tile
from .unit import UnitSpec

__all__ = ["TopK", "TopKSpec"]

LOGIT = signed(16)

MAX_CANDIDATES = 64

BOUND_LATENCY = 3
"""Cycles from a candidate's leaving its beat to the bound that includes it: candidate, cell, bound."""


CANDIDATE_CELLS = 16
"""Cells that share the registers of a candidate."""


class Cell(NamedTuple):
    """A logit and its token, if ``valid``: a cell, or a candidate on its way from a beat to the cells."""

    valid: Signal
    logit: Signal
    token: Signal

    @classmethod
    def named(cls, name: str, token_bits: int, attrs: dict[str, str] | None = None) -> "Cell":
        """The registers of a cell."""
        return cls(
            Signal(name=f"{name}_valid", attrs=attrs),
            Signal(LOGIT, name=f"{name}_logit", reset_less=True, attrs=attrs),
            Signal(token_bits, name=f"{name}_token", reset_less=True, attrs=attrs),
        )

    def below(self, logit: Value) -> Value:
        """Whether the cell is empty or has a lower logit."""
        return ~self.valid | (logit > self.logit)


@dataclass(frozen=True, kw_only=True)
class TopKSpec(UnitSpec):
    """The size of a top k: up to ``largest`` of the ``features`` logits of one of ``rows`` rows, in beats of ``lanes``.

    Raises:
        ValueError: for sizes below 1, and for more results than `MAX_CANDIDATES` or than there are logits.
    """

    rows: int
    lanes: int
    features: int
    largest: int

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"top k {name} must be at least 1, not {getattr(self, name)}")
        limit = min(MAX_CANDIDATES, self.features)
        if not 1 <= self.largest <= limit:
            raise ValueError(f"top k must be 1 to {limit} of {self.features} logits, not {self.largest}")

    @property
    def beats(self) -> int:
        """Beats of an order; the last one's lanes after ``features`` are ignored."""
        return ceil(self.features / self.lanes)

    @property
    def order(self) -> data.StructLayout:
        """An order: the ``row``, and ``k``, the number of results: 1 to ``largest``."""
        return data.StructLayout(
            {"row": unsigned(max(1, (self.rows - 1).bit_length())), "k": unsigned(self.largest.bit_length())}
        )

    @property
    def token_bits(self) -> int:
        """Width of a token."""
        return max(1, (self.features - 1).bit_length())

    @property
    def result(self) -> data.StructLayout:
        """A result: ``token``, its ``logit``, and whether it is the order's ``last``."""
        return data.StructLayout({"token": unsigned(self.token_bits), "logit": LOGIT, "last": 1})

    @staticmethod
    def latency(candidates: int) -> int:
        """Cycles from the acceptance of an order's last beat, with so many candidates, to its first result."""
        return 4 + candidates

    def cycles(self, k: int) -> int:
        """Least cycles of an order, if one follows the other: no logit is above the k-th best of those before.

        All lanes of a beat are candidates until k of them have changed the bound; then beats pass at one per cycle. A
        later beat with several candidates takes a cycle for each.
        """
        blind = self.blind_beats(k)
        candidates = min(self.features, blind * self.lanes)
        return 2 + candidates + max(self.beats - blind, 1) + 2 + k

    def blind_beats(self, k: int) -> int:
        """Beats at the beginning of an order of which all lanes are candidates."""
        return min(self.beats, ceil((k + BOUND_LATENCY) / self.lanes))

    def beat_cycles(self, k: int) -> np.ndarray:
        """Least cycles from the search of the last beat to that of each beat of an order: [beats]; see `cycles`."""
        taken = np.ones(self.beats, dtype=np.int64)
        taken[1 : self.blind_beats(k) + 1] = self.lanes
        return taken

    def worst_cycles(self, k: int) -> int:
        """Most cycles of an order: every logit is above those before."""
        return 2 + self.features + 3 + k

    @property
    def resources(self) -> Resources:
        """LUT and FF."""
        logit, token = LOGIT.width, self.token_bits
        cell = Resources(lut=2 * logit + token + 2, ff=logit + token + 1)
        bound = Resources(lut=logit * (self.largest // 3), ff=logit + 1)
        # A lane's logit of the row, its comparison, and its part in the choice of the candidate.
        lane = Resources(lut=logit * (ceil(self.rows / 4) + 1) + logit // 2, ff=logit + 1)
        copies = len(pieces(self.largest, CANDIDATE_CELLS))
        chosen = Resources(lut=2 * token + 20, ff=2 * token + 20 + copies * (logit + token + 1))
        buffers = buffer_resources(self.lanes * logit + 1, 2) + buffer_resources(self.result.size, self.results_depth)
        return cell * self.largest + bound + lane * self.lanes + chosen + buffers

    @property
    def results_depth(self) -> int:
        """Depth of the FIFO of results, so that the cells never wait."""
        return max(self.largest, BUFFER_DEPTH)

    def reference(self, logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens [k] and logits [k] of the ``k`` best of logits [features]."""
        tokens = np.argsort(-np.asarray(logits, dtype=np.int64), kind="stable")[:k]
        return tokens, logits[tokens]


class TopK(wiring.Component):
    """The top k: an order takes `TopKSpec.cycles` to `TopKSpec.worst_cycles`; `TopKSpec.latency`.

    Members:
        order: stream of `TopKSpec.order`.
        logits: tile stream, rows x lanes signed 16, `TopKSpec.beats` for each order; lane i of beat b is that of token
            b * lanes + i.
        results: stream of `TopKSpec.result`, k for each order.
    """

    def __init__(self, spec: TopKSpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.order)),
                "logits": In(stream.Signature(tile(spec.rows, spec.lanes, LOGIT))),
                "results": Out(stream.Signature(spec.result)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        busy = Signal()
        searched = Signal()  # the last beat has left the buffer
        take = self.order.valid & ~busy
        cells = [Cell.named(f"cell_{i}", spec.token_bits) for i in range(spec.largest)]
        waiting, ends, candidates = self._candidates(m, self._beats(m, take), self._bound(m, take, cells))
        # The last candidate left its beat a cycle ago, and is in its cell in the next cycle.
        begins = searched & ~waiting
        steps, last = self._drain(m, take, begins, cells[0])
        self._move(m, cells, candidates, steps)
        with m.If(last):
            m.d.sync += [cell.valid.eq(0) for cell in cells]
        m.d.comb += self.order.ready.eq(~busy)
        done = self.results.valid & self.results.ready & self.results.payload.last
        m.d.sync += [busy.eq(take | (busy & ~done)), searched.eq(ends | (searched & ~begins))]
        return m

    def _beats(self, m: Module, take: Value) -> stream.Interface:
        """The logits of the order's row, and whether they are the last, in a buffer."""
        spec = self.spec
        beat = data.StructLayout({"logits": data.ArrayLayout(LOGIT, spec.lanes), "last": 1})
        m.submodules.beats = buffer = StreamBuffer(beat)
        cuts = pieces(spec.lanes * LOGIT.width)
        rows = [
            Signal.like(self.order.payload.row, name=f"row_{i}", reset_less=True, attrs=KEEP) for i in range(len(cuts))
        ]
        searching = Signal()
        count = Turns("beat", spec.beats)
        go = self.logits.valid & self.logits.ready
        count.step(m, go)
        m.d.sync += searching.eq(take | (searching & ~(go & count.last)))
        with m.If(take):
            m.d.sync += [row.eq(self.order.payload.row) for row in rows]
        given = [Value.cast(self.logits.payload[r]) for r in range(spec.rows)]
        chosen = (Array(one[cut] for one in given)[row] for cut, row in zip(cuts, rows, strict=True))
        m.d.comb += [
            self.logits.ready.eq(searching & buffer.input.ready),
            buffer.input.valid.eq(self.logits.valid & searching),
            Value.cast(buffer.input.payload.logits).eq(Cat(chosen)),
            buffer.input.payload.last.eq(count.last),
        ]
        return buffer.output

    def _bound(self, m: Module, take: Value, cells: Sequence[Cell]) -> Cell:
        """The k-th cell, a cycle later."""
        bound = Cell.named("bound", self.spec.token_bits)
        found = Cat(bound.valid, bound.logit)
        for cut in pieces(len(found), SLICE_BITS // CANDIDATE_CELLS):
            kth = Signal(range(self.spec.largest), name=f"kth_{cut.start}", reset_less=True, attrs=KEEP)
            m.d.sync += found[cut].eq(Array(Cat(cell.valid, cell.logit)[cut] for cell in cells)[kth])
            with m.If(take):
                m.d.sync += kth.eq(self.order.payload.k - 1)
        return bound

    def _candidates(self, m: Module, beats: stream.Interface, bound: Cell) -> tuple[Value, Value, list[Cell]]:
        """Takes beats, and sends those of their lanes that are above the bound, one per cycle.

        Returns whether a lane waits, the strobe of the last beat, and copies of the candidate.
        """
        spec = self.spec
        lanes = range(spec.lanes)
        above = Signal(spec.lanes)
        logits = [Signal(LOGIT, name=f"logit_{lane}", reset_less=True) for lane in lanes]
        # The tokens of lane 0 of the present beat and of the next one.
        token = Signal(spec.token_bits, reset_less=True)
        coming = Signal(spec.token_bits)
        # The lowest lane that waits is chosen.
        chosen = [above[lane] & ~above[:lane].any() for lane in lanes]
        left = Cat(above[lane] & above[:lane].any() for lane in lanes)
        given, last = beats.payload.logits, beats.payload.last
        go = join(m, [beats], ~left.any())
        m.d.sync += above.eq(left)
        in_last_beat = spec.features - (spec.beats - 1) * spec.lanes
        with m.If(go):
            m.d.sync += [token.eq(coming), coming.eq(Mux(last, 0, coming + spec.lanes))]
            for lane, logit in enumerate(logits):
                exists = ~last | (lane < in_last_beat)
                m.d.sync += [logit.eq(given[lane]), above[lane].eq(exists & bound.below(given[lane]))]
        logit = reduce(or_, (Mux(one, logit, 0) for one, logit in zip(chosen, logits, strict=True)))
        lane = reduce(or_, (Mux(one, lane, 0) for lane, one in enumerate(chosen)))
        candidates = [
            Cell.named(f"candidate_{cut.start}", spec.token_bits, KEEP) for cut in pieces(spec.largest, CANDIDATE_CELLS)
        ]
        for one in candidates:
            m.d.sync += [one.valid.eq(above.any()), one.logit.eq(logit), one.token.eq(token + lane)]
        return above.any(), go & last, candidates

    def _drain(self, m: Module, take: Value, begins: Value, best: Cell) -> tuple[list[Signal], Signal]:
        """Sends the best k: in each of k cycles, the first cell.

        Returns copies of a strobe by which the cells move up, each for some cells, and whether the strobe is the last.
        """
        spec = self.spec
        m.submodules.found = found = StreamBuffer(spec.result, spec.results_depth)
        connect(m, found.output, self.results)
        remaining = Signal(range(spec.largest), reset_less=True)
        steps = [Signal(name=f"step_{i}", attrs=KEEP) for i in range(ceil(spec.largest / self._step_cells))]
        last = Signal()
        goes_on = Signal()
        m.d.comb += [last.eq(steps[0] & (remaining == 0)), goes_on.eq(begins | (steps[0] & ~last))]
        m.d.sync += [step.eq(goes_on) for step in steps]
        with m.If(take):
            m.d.sync += remaining.eq(self.order.payload.k - 1)
        with m.Elif(steps[0]):
            m.d.sync += remaining.eq(remaining - 1)
        m.d.comb += [
            found.input.valid.eq(steps[0]),
            found.input.payload.token.eq(best.token),
            found.input.payload.logit.eq(best.logit),
            found.input.payload.last.eq(last),
        ]
        return steps, last

    @property
    def _step_cells(self) -> int:
        """Cells that share a strobe to move up."""
        return max(SLICE_BITS // (LOGIT.width + self.spec.token_bits + 1), 1)

    def _move(self, m: Module, cells: Sequence[Cell], candidates: Sequence[Cell], steps: Sequence[Signal]) -> None:
        """The sorted row, best first: it takes a candidate, or moves up."""
        lower: list[Value] = []  # whether each cell is below the candidate
        for i, cell in enumerate(cells):
            candidate, step = candidates[i // CANDIDATE_CELLS], steps[i // self._step_cells]
            below = Signal(name=f"below_{i}")
            m.d.comb += below.eq(cell.below(candidate.logit))
            following = cells[i + 1] if i + 1 < len(cells) else None
            with m.If(step):
                m.d.sync += [own.eq(other) for own, other in zip(cell, following or [0] * 3, strict=True)]
            with m.Elif(candidate.valid & below):
                better = (
                    [Mux(lower[-1], *pair) for pair in zip(cells[i - 1], candidate, strict=True)] if i else candidate
                )
                m.d.sync += [own.eq(other) for own, other in zip(cell, better, strict=True)]
            lower.append(below)
