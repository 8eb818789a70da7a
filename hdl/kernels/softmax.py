"""Streaming softmax between the scores and the weighted sums, with one reciprocal per row and head.

Pass 1 stores the scores of a head and finds the maximum M of each row. Pass 2 reads them back. For each key it gives
the numerator ``e = floor(127 * exp(-i / 16) + 0.5)`` with ``i = round_shift((M - s) * factor, shift)``, and adds the
numerators up to D. The reciprocal of D follows as the row's factor, while the next heads are under way; the
requantiser after the weighted sums applies it.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Turns
from ..delay_registers import delay
from ..fixed import limits, round_shift
from ..hierarchy import place
from ..ram import RegisteredRamSpec, small_style
from ..resources import Resources
from ..stream import PipelineBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .parameters import Block, ChannelParameters, ChannelWord, RowFactor, RowFactors
from .softmax_parts import KeyCounter, RowReciprocals, ScoreStore
from .softmax_row import EXPONENTIALS, NUMERATOR_ONE, SCORE_FACTOR_BITS, RowMaximum, RowNumerators, RowSpec
from .unit import UnitSpec

__all__ = ["Softmax", "SoftmaxSpec"]

HEADS_AHEAD = 3
"""Heads between the start of their first and the end of their second pass: one in each pass, and one between them."""

TOTALS_AHEAD = 3
"""Heads between the start of their second pass and the acceptance of their sum by the reciprocal."""


@dataclass(frozen=True, kw_only=True)
class SoftmaxSpec(UnitSpec):
    """The size of a softmax.

    Attributes:
        rows: queries of a tile.
        lanes: keys of a beat.
        heads: heads, which come in turn.
        max_length: keys of the longest sequence.
        score_bits: width of a signed score.
        key_multiple: keys arrive in multiples of this (the columns of the scores unit); those after the sequence are
            ignored.
        value_multiple: keys leave in multiples of this, with zeros after the sequence.
        causal: whether the query at position q sees only the keys 0..q; then each tile gets only the keys up to its
            own end, so its cost grows with its position.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    lanes: int
    heads: int
    max_length: int
    score_bits: int
    key_multiple: int
    value_multiple: int
    causal: bool = False

    def __post_init__(self) -> None:
        if self.rows not in (1, 2, 4, 8):
            raise ValueError(f"softmax rows must be 1, 2, 4 or 8, not {self.rows}")
        for name in ("lanes", "heads", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"softmax {name} must be at least 1, not {getattr(self, name)}")
        if not 2 <= self.score_bits <= 26:
            raise ValueError(f"softmax score_bits must be 2 to 26, not {self.score_bits}")
        for name in ("key_multiple", "value_multiple"):
            multiple = getattr(self, name)
            if multiple < 1 or multiple % self.lanes:
                raise ValueError(f"softmax {name} must be a multiple of its {self.lanes} lanes, not {multiple}")

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: a word for each head."""
        return {"scales": Block(self.heads, 1)}

    @property
    def length_bits(self) -> int:
        """Width of a number of tokens."""
        return self.max_length.bit_length()

    @property
    def max_tiles(self) -> int:
        """Tiles of the longest sequence."""
        return ceil(self.max_length / self.rows)

    @property
    def sum_bits(self) -> int:
        """Width B of a row's sum of numerators."""
        return (NUMERATOR_ONE * self.max_length).bit_length()

    @property
    def control(self) -> data.StructLayout:
        """The shape of a control word."""
        tile = {"tile": range(max(self.max_tiles, 2))} if self.causal else {}
        return data.StructLayout({"tokens": range(self.max_length + 1)} | tile)

    @property
    def order_fields(self) -> tuple[str | int, ...]:
        return tuple(self.control.members)

    @property
    def maxima(self) -> data.ArrayLayout:
        """The shape of the maxima of all rows."""
        return data.ArrayLayout(signed(self.score_bits), self.rows)

    @property
    def row(self) -> RowSpec:
        """The widths that the parts of a row share."""
        return RowSpec(lanes=self.lanes, score_bits=self.score_bits, sum_bits=self.sum_bits)

    @property
    def store(self) -> RegisteredRamSpec:
        """The ring between the passes: the scores of a head, and those of the next until the second pass begins."""
        beats = ceil(self.max_length / self.lanes) + self.turnaround - 1
        return RegisteredRamSpec(self.rows * self.lanes * self.score_bits, beats, small_style(beats))

    @property
    def turnaround(self) -> int:
        """Cycles from the acceptance of a head's last beat of scores to the first read of its second pass: buffer,
        maximum, the buffers of heads and of keys."""
        return 1 + self.row.maximum_latency + 1 + 1

    @property
    def stages(self) -> int:
        """Cycles from a read to its numerators."""
        return self.store.latency + self.row.numerator_latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of the first head's last scores to that of its first numerators, no stalls."""
        return self.turnaround + self.stages + 1

    @property
    def factor_latency(self) -> int:
        """Cycles from the acceptance of a head's last numerators to that of its factors, no stalls."""
        return self.row.sum_latency - self.row.numerator_latency + RowReciprocals.latency(self.sum_bits)

    @property
    def factor_cycles(self) -> int:
        """Least cycles from the factors of a head to those of the next."""
        return RowReciprocals.interval

    @property
    def heads_ahead(self) -> int:
        """Heads whose numerators can leave before the first factors are taken: those queued, normalised and divided."""
        return TOTALS_AHEAD + 2

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        rows, lanes, bits = self.rows, self.lanes, self.score_bits
        row = self.row.maximum_resources + self.row.numerator_resources
        # Maximum and mask wait until the scores are read; the scale waits longer, in one LUT per bit.
        waiting = self.store.latency * (rows * bits + lanes * (rows if self.causal else 1))
        scale = SCORE_FACTOR_BITS + ChannelWord["shift"].width
        pipelines = self.stages + self.row.sum_latency + 2 * self.row.maximum_latency
        queues = (
            (rows * lanes * 8, self.stages + 2),
            (rows * bits + self.length_bits, HEADS_AHEAD),
            (rows * self.sum_bits, TOTALS_AHEAD),
        )
        inputs = sum(
            (buffer_resources(width, 2) for width in (rows * lanes * bits, ChannelWord.size, self.control.size)),
            Resources(),
        )
        walks = (
            KeyCounter.resources(rows=rows, lanes=lanes, max_length=self.max_length, causal=self.causal, label=label)
            for label in (self.control, self.maxima)
        )
        return sum(
            (pipeline_resources(width, depth) for width, depth in queues),
            row * rows
            + ScoreStore.resources(self.store)
            + inputs
            + sum(walks, Resources())
            + RowReciprocals.resources(rows=rows, sum_bits=self.sum_bits)
            + Resources(lut=20 + 3 * self.length_bits + scale, ff=waiting + pipelines + 2 * self.length_bits),
        )

    def beats_in(self, tokens: int) -> int:
        """Beats of scores per head and tile, for ``tokens`` of a sequence (causal: up to the tile's end)."""
        return ceil(tokens / self.key_multiple) * self.key_multiple // self.lanes

    def beats_out(self, tokens: int) -> int:
        """Beats of numerators per head and tile, for ``tokens`` of a sequence (causal: up to the tile's end)."""
        return ceil(tokens / self.value_multiple) * self.value_multiple // self.lanes

    def cycles(self, tokens: int) -> int:
        """Cycles per tile (all heads) in steady state, for ``tokens`` of a sequence (causal: up to the tile's end)."""
        return self.heads * max(self.beats_in(tokens), self.beats_out(tokens), self.factor_cycles)

    @property
    def row_cycles(self) -> int:
        return self.cycles(1)

    @property
    def tile_latency(self) -> int:
        return self.latency + self.factor_latency

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles(tokens)

    def reference(
        self, scores: np.ndarray, scales: ChannelParameters, *, position: int = 0
    ) -> tuple[np.ndarray, RowFactors]:
        """Numerators [heads, queries, keys] and row factors [heads, queries] of integer scores [heads, queries, keys].

        ``scales`` has a word for each head, of which factor (0..2**17-1) and shift are used. Query q has the position
        ``position`` + q in the sequence.

        Raises:
            ValueError: for a negative factor, because the hardware takes it as unsigned.
        """
        if scales.factor.min() < 0:
            raise ValueError(f"softmax factor must be 0..{(1 << SCORE_FACTOR_BITS) - 1}, not {scales.factor.min()}")
        queries, keys = scores.shape[1:]
        valid = np.ones((queries, keys), dtype=bool)
        if self.causal:
            valid = np.arange(keys) <= position + np.arange(queries)[:, np.newaxis]
        scores = np.asarray(scores, dtype=np.int64)
        maximum = np.where(valid, scores, limits(self.score_bits)[0]).max(axis=-1, keepdims=True)
        distance = np.where(valid, maximum - scores, 0)
        factor, shift = (field.reshape(-1, 1, 1) for field in (scales.factor, scales.shift))
        index = np.minimum(round_shift(distance * factor, shift), len(EXPONENTIALS) - 1)
        numerators = np.where(valid, EXPONENTIALS[index], 0)
        return numerators, RowReciprocals.reference(numerators.sum(axis=-1), self.sum_bits)


class Softmax(wiring.Component):
    """The softmax. It takes a beat of scores and gives a beat of numerators per cycle; heads, tiles and layers overlap.

    Members:
        control: stream, a word for each layer: its number of ``tokens``, 1..max_length; taken before the layer's last
            scores. Causal: a word for each tile: ``tokens`` up to its end, and ``tile``; taken before its last scores.
        scores: tile stream, rows x lanes signed ``score_bits``; `SoftmaxSpec.beats_in` beats for each tile and head.
        scales: stream of `ChannelWord`, one for each tile and head: factor (as unsigned 17 bits) and shift.
        numerators: tile stream, rows x lanes signed 8, 0..127; `SoftmaxSpec.beats_out` beats for each tile and head.
        factors: stream, `RowFactor` x rows, for each tile and head: ``2**22`` over the sum of its numerators.
    """

    def __init__(self, spec: SoftmaxSpec):
        self.spec = spec
        super().__init__(
            {
                "control": In(stream.Signature(spec.control)),
                "scores": In(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.score_bits)))),
                "scales": In(stream.Signature(ChannelWord)),
                "numerators": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(8)))),
                "factors": Out(stream.Signature(data.ArrayLayout(RowFactor, spec.rows))),
            }
        )

    def _head(self) -> data.StructLayout:
        """What the first pass hands on to the second for each head."""
        return data.StructLayout({"maximum": self.spec.maxima} | self.spec.control.members)

    def _keys(self, multiple: int, label: data.Layout) -> KeyCounter:
        spec = self.spec
        return KeyCounter(
            rows=spec.rows,
            lanes=spec.lanes,
            max_length=spec.max_length,
            multiple=multiple,
            causal=spec.causal,
            label=label,
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.store = store = ScoreStore(self.scores.payload.shape(), self.spec.store)
        m.submodules.heads = heads = PipelineBuffer(self._head(), HEADS_AHEAD)
        self._first_pass(m, platform, store, heads)
        self._second_pass(m, platform, store, heads)
        return m

    def _first_pass(self, m: Module, platform: Any, store: ScoreStore, heads: PipelineBuffer) -> None:
        """Stores the scores, and queues every head with its maxima."""
        spec = self.spec
        m.submodules.arriving = keys = self._keys(spec.key_multiple, spec.control)
        control, scores = buffered(m, "control_buffer", self.control), buffered(m, "scores_buffer", self.scores)
        self._layers(m, control, keys)
        beat = keys.beats.payload
        go = join(m, [scores, keys.beats], (store.room | ~beat.real) & (heads.room | ~beat.first))
        m.d.comb += [
            store.write.eq(go & beat.real),
            store.scores.eq(scores.payload),
            heads.take.eq(go & beat.first),
        ]
        latency = spec.row.maximum_latency
        m.d.comb += [
            heads.push.eq(delay(m, "maximum_valid", go & beat.last, latency, control=True)),
        ]
        for name in spec.control.members:
            m.d.comb += heads.payload[name].eq(delay(m, f"maximum_{name}", Value.cast(beat.label[name]), latency))
        for row in range(spec.rows):
            maximum = RowMaximum(spec.row)
            m.submodules[f"maximum_{row}"] = place(platform, maximum)
            m.d.comb += [
                maximum.scores.eq(scores.payload[row]),
                maximum.valid.eq(beat.valid[row]),
                maximum.first.eq(beat.first),
                maximum.go.eq(go),
                heads.payload.maximum[row].eq(maximum.maximum),
            ]

    def _layers(self, m: Module, control: Any, keys: KeyCounter) -> None:
        """Lets ``keys`` walk over the heads of each tile of a layer; causal: of the tile that ``control`` names."""
        spec = self.spec
        head = Turns("head", spec.heads)
        last_tile: Any = 1
        tile_ends = Signal()
        layer_ends = Signal()
        if not spec.causal:
            covered = Signal(range(spec.max_length + 2 * spec.rows), init=spec.rows)  # tokens up to the tile's end
            last_tile = covered >= control.payload.tokens
            with m.If(tile_ends):
                m.d.sync += covered.eq(Mux(layer_ends, spec.rows, covered + spec.rows))
        else:
            m.d.comb += keys.tile.eq(control.payload.tile)
        head.step(m, keys.ends)
        m.d.comb += [
            tile_ends.eq(keys.ends & head.last),
            layer_ends.eq(tile_ends & last_tile),
            control.ready.eq(layer_ends),
            keys.there.eq(control.valid),
            keys.tokens.eq(control.payload.tokens),
            Value.cast(keys.label).eq(Value.cast(control.payload)),
        ]

    def _second_pass(self, m: Module, platform: Any, store: ScoreStore, heads: PipelineBuffer) -> None:
        """Reads a head's scores back, turns them into numerators, and their sums into factors."""
        spec = self.spec
        m.submodules.leaving = keys = self._keys(spec.value_multiple, spec.maxima)
        m.submodules.results = results = PipelineBuffer(self.numerators.payload.shape(), spec.stages + 2)
        m.submodules.reciprocals = reciprocals = RowReciprocals(rows=spec.rows, sum_bits=spec.sum_bits)
        m.submodules.totals = totals = PipelineBuffer(reciprocals.totals.payload.shape(), TOTALS_AHEAD)
        scales = buffered(m, "scales_buffer", self.scales)
        head, scale, beat = heads.output.payload, scales.payload, keys.beats.payload
        go = join(m, [keys.beats], scales.valid & results.room & (totals.room | ~beat.first))
        ends = go & beat.last
        m.d.comb += [
            keys.there.eq(heads.output.valid),
            keys.tokens.eq(head.tokens),
            Value.cast(keys.label).eq(Value.cast(head.maximum)),
            heads.output.ready.eq(keys.ends),
            scales.ready.eq(ends),
            store.read.eq(go & beat.real),
            results.take.eq(go),
            totals.take.eq(go & beat.first),
        ]
        if spec.causal:
            m.d.comb += keys.tile.eq(head.tile)
        connect(m, results.output, self.numerators)
        connect(m, totals.output, reciprocals.totals)
        connect(m, reciprocals.factors, self.factors)

        read = spec.store.latency
        sum_latency = read + spec.row.sum_latency
        m.d.comb += [
            results.push.eq(delay(m, "numerators_valid", go, spec.stages, control=True)),
            totals.push.eq(delay(m, "total_valid", ends, sum_latency, control=True)),
        ]
        first = delay(m, "first", go & beat.first, read)
        factor, shift = delay(m, "factor", scale.factor, read), delay(m, "shift", scale.shift, read)
        for row in range(spec.rows):
            part = RowNumerators(spec.row)
            m.submodules[f"row_{row}"] = place(platform, part)
            m.d.comb += [
                part.scores.eq(store.stored[row]),
                part.valid.eq(delay(m, f"valid_{row}", Mux(go, beat.valid[row], 0), read)),
                part.first.eq(first),
                part.maximum.eq(delay(m, f"maximum_{row}", beat.label[row], read)),
                part.factor.eq(factor),
                part.shift.eq(shift),
                totals.payload[row].eq(part.total),
            ]
            m.d.comb += [results.payload[row][lane].eq(part.numerators[lane]) for lane in range(spec.lanes)]
