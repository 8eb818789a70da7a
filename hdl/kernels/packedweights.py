"""Weights of 4 bits on their way to the RAMs: two beats of int8 weights in one memory beat, and how they come apart.

A weight is ``q * m``: ``q`` of 4 bits, -8..7, and a factor ``m`` of 4 bits, 1..15, for each `GROUP` inputs of an
output, so that unpacking rounds nothing. A *span* is the words of one group: in each pass 64 inputs of every column,
whose factors are as many as the span has int8 beats. A header beat brings the factors of some spans, whose packed beats
follow: the first int8 beat of each in the lower half, the second in the upper; a pass may end with a shorter span.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..resources import Resources
from ..stream import PipelineBuffer, connect, pipeline_resources
from .shared import GROUP
from .weights import CHANNEL_RAMS, WeightChannels

__all__ = ["LoadOrder", "PackedWeightsSpec", "UnpackWeights"]

NIBBLE = 4
"""Bits of a packed weight, and of a factor."""

BEAT_BYTES = CHANNEL_BITS // 8


@dataclass(frozen=True, kw_only=True)
class PackedWeightsSpec:
    """The packed beats of memory ``channels``, for products of up to ``max_words`` a pass and ``max_passes``.

    Raises:
        ValueError: for cascades that do not divide a group's words, or more columns than a header has factors for.
    """

    channels: WeightChannels
    max_words: int
    max_passes: int

    def __post_init__(self) -> None:
        cascades = self.channels.cascades
        if CHANNEL_RAMS % cascades:
            raise ValueError(f"packed weights must be for 1, 2, 4 or 8 cascades, not {cascades}")
        if self.channels.block != 1 or not self.channels.whole_columns:
            raise ValueError("packed weights must come in single words, for whole columns")
        if self.spans < 1:
            columns = ceil(self.channels.columns / self.channels.channels)
            limit = CHANNEL_BITS // NIBBLE
            raise ValueError(f"packed weights must be for at most {limit} columns a channel, not {columns}")

    @property
    def span_words(self) -> int:
        """Words of a span."""
        return GROUP // (CASCADE * self.channels.cascades)

    @property
    def beat_factors(self) -> int:
        """Columns, and so factors, of an int8 beat."""
        return CHANNEL_RAMS // self.channels.cascades

    @property
    def spans(self) -> int:
        """Spans that a header serves."""
        return CHANNEL_BITS // (NIBBLE * self.beat_factors * self.channels.block_beats)

    @property
    def latency(self) -> int:
        """Cycles from a beat's arrival to the acceptance of its first int8 beat."""
        return 3

    def beats(self, passes: int, words: int) -> int:
        """Memory beats of a product's weights in each channel."""
        return self._places(passes, words).total

    def cycles(self, passes: int, words: int) -> int:
        """Cycles in which a channel unpacks a product's weights: an int8 beat in each, and one for each header."""
        return passes * words * self.channels.block_beats + len(self._places(passes, words).headers)

    @property
    def resources(self) -> Resources:
        """LUT and FF of `UnpackWeights`, estimated: a small product for each weight, and five beats in registers."""
        buffer = pipeline_resources(CHANNEL_BITS, self.latency + 1)
        choice = Resources(lut=CHANNEL_BITS // 2 + CHANNEL_BITS // 3)
        return buffer + choice + Resources(lut=28 * BEAT_BYTES + 60, ff=3 * CHANNEL_BITS + 80)

    def pack(self, nibbles: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """The memory beats, uint8 [channels, `beats`, 64], of ``nibbles`` -8..7, int8 [passes, columns, inputs], and
        ``factors`` 1..15, uint8 [passes, columns, ceil(inputs / 64)], columns as `WeightChannels.pack` wants them."""
        channels, (passes, _, inputs) = self.channels, nibbles.shape
        places = self._places(passes, inputs // (CASCADE * channels.cascades))
        packed = np.zeros((channels.channels, places.total, 2, BEAT_BYTES), dtype=np.uint8)
        packed[:, places.beat, places.half] = channels.pack(nibbles) & 15
        share, padded = ceil(channels.columns / channels.channels), channels.block_beats * self.beat_factors
        for channel in range(channels.channels):
            own = factors[:, channel * share : (channel + 1) * share].transpose(0, 2, 1)
            own = np.pad(own.reshape(-1, own.shape[2]), ((0, 0), (0, padded - own.shape[2])))
            for header, first in zip(places.headers, range(0, len(own), self.spans), strict=True):
                served = own[first : first + self.spans].ravel()
                packed[channel, header].reshape(-1)[: len(served)] = served
        flat = packed.reshape(channels.channels, places.total, -1)
        return np.asarray(flat[..., ::2] | flat[..., 1::2] << NIBBLE)

    def unpack(self, beats: np.ndarray, passes: int, words: int) -> np.ndarray:
        """The int8 beats, uint8 [channels, passes * words * groups, 64], that the hardware makes of memory beats."""
        places, channels = self._places(passes, words), self.channels
        flat = np.stack([beats & 15, beats >> NIBBLE], axis=-1).reshape(len(beats), places.total, 2, BEAT_BYTES)
        nibbles = (flat[:, places.beat, places.half] ^ 8).astype(np.int8) - 8
        index = np.arange(passes * words * channels.block_beats) % channels.block_beats
        entry = (places.span % self.spans * channels.block_beats + index)[:, None] * self.beat_factors
        entry = entry + np.arange(CHANNEL_RAMS) // channels.cascades
        header = flat.reshape(len(beats), places.total, -1)[:, np.array(places.headers)[places.span // self.spans]]
        factors = np.take_along_axis(header, entry[None], axis=2).astype(np.int8)
        return np.asarray(nibbles * factors.repeat(CASCADE, axis=2)).view(np.uint8)

    def _places(self, passes: int, words: int) -> "Places":
        """Where the int8 beats of a product lie."""
        word = np.arange(words).repeat(self.channels.block_beats)
        spans = ceil(words / self.span_words)
        span = (np.arange(passes)[:, None] * spans + word // self.span_words).ravel()
        block = span // self.spans
        counts = np.bincount(block)
        place = np.arange(len(span)) - (np.cumsum(counts) - counts)[block]
        sizes = 1 + -(-counts // 2)
        headers = np.cumsum(sizes) - sizes
        return Places(headers.tolist(), headers[block] + 1 + place // 2, place % 2, span, int(sizes.sum()))


@dataclass(frozen=True)
class Places:
    """Memory beats of the ``headers``, in ``total`` beats; for each int8 beat its memory ``beat``, which ``half`` of
    that, and its ``span``."""

    headers: list[int]
    beat: np.ndarray
    half: np.ndarray
    span: np.ndarray
    total: int


class LoadOrder(data.StructLayout):
    """Weights that come next: whether they are ``packed``, ``words`` a pass, and ``passes``."""

    def __init__(self, spec: PackedWeightsSpec):
        bounds = {"words": spec.max_words, "passes": spec.max_passes}
        super().__init__({"packed": unsigned(1)} | {name: unsigned(n.bit_length()) for name, n in bounds.items()})


class UnpackWeights(wiring.Component):
    """Memory beats to int8 beats: those that are not packed as they come, the others `PackedWeightsSpec.cycles`.

    Members: ``order`` (stream of `LoadOrder`), ``input`` and ``output`` (streams of 512 bits).
    """

    def __init__(self, spec: PackedWeightsSpec):
        self.spec = spec
        beat = stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__({"order": In(stream.Signature(LoadOrder(spec))), "input": In(beat), "output": Out(beat)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        m.submodules.buffer = buffer = PipelineBuffer(unsigned(CHANNEL_BITS), spec.latency + 1)
        header, known = Signal(CHANNEL_BITS, reset_less=True), Signal()
        begins, step, half = Signal(), Signal(), Signal()
        entry = Signal(range(spec.spans * spec.channels.block_beats))
        ready = self.order.valid & self.input.valid
        m.d.comb += [begins.eq(ready & order.packed & ~known), step.eq(ready & (known | ~order.packed) & buffer.room)]
        block_ends = self._count(m, step, entry)
        m.d.comb += self.input.ready.eq(begins | (step & (~order.packed | half | block_ends)))
        with m.If(begins):
            m.d.sync += [header.eq(self.input.payload), known.eq(1)]
        with m.If(step):
            m.d.sync += half.eq(order.packed & ~half & ~block_ends)
            with m.If(block_ends):
                m.d.sync += known.eq(0)

        low, high = self.input.payload[: CHANNEL_BITS // 2], self.input.payload[CHANNEL_BITS // 2 :]
        beat, packed = Signal(CHANNEL_BITS, reset_less=True), Signal(reset_less=True)
        factors = Signal(NIBBLE * spec.beat_factors, reset_less=True)
        unpacked, pushed = Signal(CHANNEL_BITS, reset_less=True), Signal(2)
        m.d.sync += [
            beat.eq(Cat(Mux(half, high, low), high)),
            packed.eq(order.packed),
            factors.eq(header.word_select(entry, len(factors))),
            unpacked.eq(Mux(packed, Cat(self._products(beat, factors)), beat)),
            pushed.eq(Cat(step, pushed)),
        ]
        m.d.comb += [buffer.take.eq(step), buffer.push.eq(pushed[-1]), buffer.payload.eq(unpacked)]
        connect(m, buffer.output, self.output)
        return m

    def _products(self, beat: Signal, factors: Signal) -> list[Any]:
        """The bytes of an int8 beat: additions in two levels, which are smaller than a multiplier."""
        bytes_a_factor = CASCADE * self.spec.channels.cascades
        products = []
        for place in range(BEAT_BYTES):
            weight = beat.word_select(place, NIBBLE).as_signed()
            factor = factors.word_select(place // bytes_a_factor, NIBBLE)
            parts = [Mux(factor[i], weight << i, 0) for i in range(NIBBLE)]
            products.append(((parts[0] + parts[1]) + (parts[2] + parts[3]))[:8])
        return products

    def _count(self, m: Module, step: Signal, entry: Signal) -> Signal:
        """Counts groups, words, spans and passes of an order; returns whether a header has served its last beat."""
        spec, order = self.spec, self.order.payload
        groups = spec.channels.block_beats
        group, word = Signal(range(max(groups, 2))), Signal(range(spec.max_words))
        in_span, span = Signal(range(max(spec.span_words, 2))), Signal(range(max(spec.spans, 2)))
        index = Signal(range(spec.max_passes), name="pass_index")
        word_ends, pass_ends, span_ends, block_ends, ends = (
            Signal(name=name) for name in ("word_ends", "pass_ends", "span_ends", "block_ends", "ends")
        )
        m.d.comb += [
            word_ends.eq(group == groups - 1),
            pass_ends.eq(word_ends & (word == order.words - 1)),
            span_ends.eq(word_ends & ((in_span == spec.span_words - 1) | pass_ends)),
            ends.eq(pass_ends & (index == order.passes - 1)),
            block_ends.eq(span_ends & ((span == spec.spans - 1) | ends)),
            self.order.ready.eq(step & ends),
        ]
        with m.If(step):
            m.d.sync += [group.eq(Mux(word_ends, 0, group + 1)), entry.eq(entry + 1)]
            with m.If(word_ends):
                m.d.sync += [word.eq(Mux(pass_ends, 0, word + 1)), in_span.eq(Mux(span_ends, 0, in_span + 1))]
                with m.If(~span_ends):
                    m.d.sync += entry.eq(entry - (groups - 1))
            with m.If(span_ends):
                m.d.sync += span.eq(Mux(block_ends, 0, span + 1))
            with m.If(block_ends):
                m.d.sync += entry.eq(0)
            with m.If(pass_ends):
                m.d.sync += index.eq(Mux(ends, 0, index + 1))
        return block_ends
