"""Top k: the k largest of a row of logits with their tokens, best first; of equal logits the lower token first.

A sorted row of cells takes one candidate per cycle: each cell below the candidate takes the candidate or the content of
its better neighbour. The candidates of a beat are the lanes above the k-th cell, the *bound*. Once the cells are full,
most beats have no candidate and pass at one per cycle. The bound is some cycles old when a lane is compared with it, so
a candidate may be too low already; the cells compare again and drop it. Tokens come in order, so among equal logits the
one that is in a cell has the lower token.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..resources import Resources
from ..stream import join, tile
from .unit import UnitSpec

__all__ = ["TopK", "TopKSpec"]

LOGIT = signed(16)

KEY = signed(LOGIT.width + 1)
EMPTY = -(1 << (LOGIT.width - 1)) - 1
"""The key of an empty cell, below every logit."""

MAX_CANDIDATES = 64

BOUND_LATENCY = 3
"""Cycles from a candidate's leaving its beat to the bound that includes it: candidate, cell, bound."""


class Candidate(NamedTuple):
    """A candidate on its way from a beat to the cells."""

    valid: Signal
    logit: Signal
    token: Signal


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
        return 2 + candidates

    def cycles(self, k: int) -> int:
        """Least cycles of an order, if one follows the other: no logit is above the k-th best of those before.

        All lanes of a beat are candidates until k of them have changed the bound; then beats pass at one per cycle. A
        later beat with several candidates takes a cycle for each.
        """
        blind = self.blind_beats(k)
        candidates = min(self.features, blind * self.lanes)
        return 1 + candidates + max(self.beats - blind, 1) + 1 + k

    def blind_beats(self, k: int) -> int:
        """Beats at the beginning of an order of which all lanes are candidates."""
        return min(self.beats, ceil((k + BOUND_LATENCY) / self.lanes))

    def beat_cycles(self, k: int) -> np.ndarray:
        """Least cycles from the last beat to each beat of an order: [beats]; see `cycles`."""
        taken = np.ones(self.beats, dtype=np.int64)
        taken[1 : self.blind_beats(k) + 1] = self.lanes
        return taken

    def worst_cycles(self, k: int) -> int:
        """Most cycles of an order: every logit is above those before."""
        return 1 + self.features + 2 + k

    @property
    def resources(self) -> Resources:
        """LUT and FF."""
        key, token = KEY.width, self.token_bits
        cell = Resources(lut=key + key + token, ff=key + token)
        bound = Resources(lut=key * (self.largest // 3), ff=key)
        # A lane's logit of the row, its comparison, and its part in the choice of the candidate.
        lane = Resources(lut=LOGIT.width * (ceil(self.rows / 4) + 1) + key // 2, ff=LOGIT.width + 1)
        chosen = Resources(lut=2 * token + 20, ff=3 * token + LOGIT.width + 20)
        return cell * self.largest + bound + lane * self.lanes + chosen

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
        row = Signal.like(self.order.payload.row, reset_less=True)
        last = Signal(range(self.spec.largest), reset_less=True)
        index = Signal(range(self.spec.largest))
        busy = Signal()
        searching = Signal()
        settled = Signal()
        bound = Signal(KEY, init=EMPTY)
        take = self.order.valid & ~busy
        step = self.results.valid & self.results.ready
        ends = step & self.results.payload.last
        waiting, searched, candidate = self._candidates(m, searching, row, bound)
        keys, tokens = self._cells(m, candidate, step, ends)
        m.d.comb += [
            self.order.ready.eq(~busy),
            self.results.valid.eq(settled),
            self.results.payload.token.eq(tokens[0]),
            self.results.payload.logit.eq(keys[0]),
            self.results.payload.last.eq(index == last),
        ]
        with m.If(take):
            m.d.sync += [row.eq(self.order.payload.row), last.eq(self.order.payload.k - 1)]
        with m.If(step):
            m.d.sync += index.eq(Mux(ends, 0, index + 1))
        m.d.sync += [
            busy.eq(take | (busy & ~ends)),
            searching.eq(take | (searching & ~searched)),
            # The last candidate left its beat a cycle ago, and is in its cell now.
            settled.eq(busy & ~searching & ~waiting & ~ends),
            bound.eq(Mux(ends, EMPTY, Array(keys)[last])),
        ]
        return m

    def _candidates(self, m: Module, searching: Value, row: Value, bound: Value) -> tuple[Value, Value, Candidate]:
        """Takes beats, and sends those of their lanes that are above the bound, one per cycle.

        Returns whether a lane waits, the strobe of the last beat, and the candidate.
        """
        spec = self.spec
        above = Signal(spec.lanes)
        logits = [Signal(LOGIT, name=f"logit_{lane}", reset_less=True) for lane in range(spec.lanes)]
        # The tokens of lane 0 of the present beat and of the next one.
        token = Signal(spec.token_bits, reset_less=True)
        coming = Signal(spec.token_bits)
        last_token = (spec.beats - 1) * spec.lanes
        chosen = above & -above  # the lowest of those that wait
        left = above ^ chosen[: spec.lanes]
        go = join(m, [self.logits], searching & (left == 0))
        last_beat = coming == last_token
        m.d.sync += above.eq(left)
        with m.If(go):
            m.d.sync += [token.eq(coming), coming.eq(Mux(last_beat, 0, coming + spec.lanes))]
        for lane, logit in enumerate(logits):
            given = Array(self.logits.payload[r][lane] for r in range(spec.rows))[row]
            exists = ~last_beat | (last_token + lane < spec.features)
            with m.If(go):
                m.d.sync += [logit.eq(given), above[lane].eq(exists & (given > bound))]
        candidate = Candidate(
            Signal(name="candidate"),
            Signal(LOGIT, name="candidate_logit", reset_less=True),
            Signal(spec.token_bits, name="candidate_token", reset_less=True),
        )
        m.d.sync += candidate.valid.eq(above.any())
        for lane, logit in enumerate(logits):
            with m.If(chosen[lane]):
                m.d.sync += [candidate.logit.eq(logit), candidate.token.eq(token + lane)]
        return above.any(), go & last_beat, candidate

    def _cells(self, m: Module, candidate: Candidate, step: Value, clear: Value) -> tuple[list[Signal], list[Signal]]:
        """The sorted row, best first. It takes a candidate, or moves up with ``step``; returns its keys and tokens."""
        logit, token = candidate.logit, candidate.token
        largest = self.spec.largest
        keys = [Signal(KEY, name=f"key_{i}", init=EMPTY) for i in range(largest)]
        tokens = [Signal(self.spec.token_bits, name=f"token_{i}", reset_less=True) for i in range(largest)]
        beaten = [Signal(name=f"beaten_{i}") for i in range(largest)]
        for i in range(largest):
            m.d.comb += beaten[i].eq(candidate.valid & (logit > keys[i]))
            with m.If(clear):
                m.d.sync += keys[i].eq(EMPTY)
            with m.Elif(step):
                if i + 1 < largest:
                    m.d.sync += [keys[i].eq(keys[i + 1]), tokens[i].eq(tokens[i + 1])]
            with m.Elif(beaten[i]):
                above = beaten[i - 1] if i else 0
                better = (keys[i - 1], tokens[i - 1]) if i else (logit, token)
                m.d.sync += [keys[i].eq(Mux(above, better[0], logit)), tokens[i].eq(Mux(above, better[1], token))]
        return keys, tokens
