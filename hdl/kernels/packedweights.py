"""Weights of 4 bits in memory, and how they become the int8 weights of the RAMs: two int8 beats in one memory beat.

A weight is ``q * m``. ``q`` has 4 bits, -8..7. The factor ``m`` has 4 bits, 1..15, and is shared by each `GROUP` of 64
inputs of an output. So unpacking rounds nothing.

A *span* is 64 inputs of every column in one pass, so it needs one factor for each column. The last span of a pass may
have fewer inputs. In memory a *header* beat brings the factors of some spans. The packed beats of these spans follow:
each holds an int8 beat in its lower half, and the next one in its upper half.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import BEAT_BYTES, CHANNEL_BITS
from ..dsp import CASCADE
from ..resources import Resources
from ..stream import PipelineBuffer, connect, pipeline_resources
from .shared import GROUP
from .weights import CHANNEL_RAMS, WeightChannels

__all__ = ["LoadOrder", "PackedWeightsSpec", "UnpackWeights"]

NIBBLE = 4
"""Bits of a packed weight, and of a factor."""


@dataclass(frozen=True, kw_only=True)
class PackedWeightsSpec:
    """The packed beats of memory channels.

    Attributes:
        channels: the order of the int8 weights.
        max_words: words of activations of the longest pass.
        max_passes: passes of the largest product.

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
            raise ValueError(f"packed weights must be for at most {limit} columns per channel, not {columns}")

    @property
    def span_words(self) -> int:
        """Words of a whole span."""
        return GROUP // (CASCADE * self.channels.cascades)

    @property
    def beat_factors(self) -> int:
        """Factors of an int8 beat: one for each of the columns whose weights it brings."""
        return CHANNEL_RAMS // self.channels.cascades

    @property
    def spans(self) -> int:
        """Spans whose factors a header has room for."""
        return CHANNEL_BITS // (NIBBLE * self.beat_factors * self.channels.block_beats)

    @property
    def latency(self) -> int:
        """Cycles from a beat's arrival to the acceptance of its first int8 beat."""
        return 3

    def beats(self, passes: int, words: int) -> int:
        """Memory beats of a product's weights in each channel."""
        return self._layout(passes, words).total

    def cycles(self, passes: int, words: int) -> int:
        """Cycles in which a channel unpacks a product's weights: one for each int8 beat, and one for each header."""
        return passes * words * self.channels.block_beats + len(self._layout(passes, words).headers)

    @property
    def resources(self) -> Resources:
        """LUT and FF of `UnpackWeights`, estimated: a small product for each weight, and five beats in registers."""
        buffer = pipeline_resources(CHANNEL_BITS, self.latency + 1)
        choice = Resources(lut=CHANNEL_BITS // 2 + CHANNEL_BITS // 3)
        return buffer + choice + Resources(lut=28 * BEAT_BYTES + 60, ff=3 * CHANNEL_BITS + 80)

    def pack(self, nibbles: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """The memory beats, uint8 [channels, `beats`, 64], of the ``q`` and ``m`` of weights.

        ``nibbles``: -8..7, int8 [passes, columns, inputs]; ``factors``: 1..15, uint8 [passes, columns, spans of a
        pass]. The columns are in the order of `WeightChannels.pack`.
        """
        channels, (passes, _, inputs) = self.channels, nibbles.shape
        layout = self._layout(passes, inputs // (CASCADE * channels.cascades))
        # A nibble in each byte: [channel, memory beat, half, byte of the int8 beat].
        packed = np.zeros((channels.channels, layout.total, 2, BEAT_BYTES), dtype=np.uint8)
        packed[:, layout.beat, layout.half] = channels.pack(nibbles) & 15
        columns = ceil(channels.columns / channels.channels)
        for channel in range(channels.channels):
            own = factors[:, channel * columns : (channel + 1) * columns].transpose(0, 2, 1)
            by_span = self._padded(own.reshape(-1, own.shape[2]))
            for header, first in zip(layout.headers, range(0, len(by_span), self.spans), strict=True):
                served = by_span[first : first + self.spans].ravel()
                packed[channel, header].reshape(-1)[: len(served)] = served
        flat = packed.reshape(channels.channels, layout.total, -1)
        return np.asarray(flat[..., ::2] | flat[..., 1::2] << NIBBLE)

    def _padded(self, factors: np.ndarray) -> np.ndarray:
        """Factors [spans, columns] with zeros for the columns that fill the last int8 beat of a word."""
        missing = self.channels.block_beats * self.beat_factors - factors.shape[1]
        return np.pad(factors, ((0, 0), (0, missing)))

    def unpack(self, beats: np.ndarray, passes: int, words: int) -> np.ndarray:
        """The int8 beats, uint8 [channels, passes * words * `block_beats`, 64], that the hardware makes of memory
        beats."""
        layout, channels = self._layout(passes, words), self.channels
        flat = np.stack([beats & 15, beats >> NIBBLE], axis=-1).reshape(len(beats), layout.total, 2, BEAT_BYTES)
        nibbles = (flat[:, layout.beat, layout.half] ^ 8).astype(np.int8) - 8
        # Where each int8 beat's factors are in its header: those of its span, and of its columns.
        beat_of_word = np.arange(passes * words * channels.block_beats) % channels.block_beats
        entry = (layout.span % self.spans * channels.block_beats + beat_of_word)[:, None] * self.beat_factors
        entry = entry + np.arange(CHANNEL_RAMS) // channels.cascades
        header = flat.reshape(len(beats), layout.total, -1)[:, np.array(layout.headers)[layout.span // self.spans]]
        factors = np.take_along_axis(header, entry[None], axis=2).astype(np.int8)
        return np.asarray(nibbles * factors.repeat(CASCADE, axis=2)).view(np.uint8)

    def _layout(self, passes: int, words: int) -> "PackedLayout":
        """Where the int8 beats of a product lie in memory.

        With 32 columns and 4 cascades a word has 16 int8 beats, a whole span 2 words, and a header room for 4 spans. A
        product of 3 passes of 3 words has 2 spans in each pass: one of 2 words (32 int8 beats) and one of 1 word (16).
        Memory beat 0 is the header of the first 4 spans, which are passes 0 and 1. Their 96 int8 beats are in memory
        beats 1 to 48. Memory beat 49 is the header of the last 2 spans, whose 48 int8 beats are in memory beats 50 to
        73.
        """
        word_of_pass = np.arange(words).repeat(self.channels.block_beats)
        pass_spans = ceil(words / self.span_words)
        span = (np.arange(passes)[:, None] * pass_spans + word_of_pass // self.span_words).ravel()
        header_of_beat = span // self.spans
        served = np.bincount(header_of_beat)  # int8 beats after each header
        headers = starts(1 + -(-served // 2))
        number = np.arange(len(span)) - starts(served)[header_of_beat]  # of an int8 beat among those of its header
        return PackedLayout(
            headers=headers.tolist(),
            beat=headers[header_of_beat] + 1 + number // 2,
            half=number % 2,
            span=span,
            total=int(np.sum(1 + -(-served // 2))),
        )


def starts(sizes: np.ndarray) -> np.ndarray:
    """Where each of several things begins that follow each other; the first begins at 0."""
    return np.asarray(np.cumsum(sizes) - sizes)


@dataclass(frozen=True, kw_only=True)
class PackedLayout:
    """The memory beats of a product in a channel.

    Attributes:
        headers: numbers of the memory beats that are headers.
        beat: the memory beat of each int8 beat.
        half: the half of it, 0 (lower) or 1.
        span: the span of each int8 beat.
        total: memory beats.
    """

    headers: list[int]
    beat: np.ndarray
    half: np.ndarray
    span: np.ndarray
    total: int


class LoadOrder(data.StructLayout):
    """The weights of a product, which come next: whether they are ``packed``, ``words`` of a pass, and ``passes``."""

    def __init__(self, spec: PackedWeightsSpec):
        bounds = {"words": spec.max_words, "passes": spec.max_passes}
        super().__init__({"packed": unsigned(1)} | {name: unsigned(n.bit_length()) for name, n in bounds.items()})


class UnpackWeights(wiring.Component):
    """Makes int8 beats of memory beats, as the orders say.

    Weights that are not packed pass at one beat per cycle; packed ones take `PackedWeightsSpec.cycles`. Members:
    ``order`` (stream of `LoadOrder`), ``input`` and ``output`` (streams of 512 bits).
    """

    def __init__(self, spec: PackedWeightsSpec):
        self.spec = spec
        beat = stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__({"order": In(stream.Signature(LoadOrder(spec))), "input": In(beat), "output": Out(beat)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        m.submodules.buffer = buffer = PipelineBuffer(unsigned(CHANNEL_BITS), spec.latency + 1)
        header = Signal(CHANNEL_BITS, reset_less=True)
        known = Signal()
        begins = Signal()
        step = Signal()
        half = Signal()
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
        beat = Signal(CHANNEL_BITS, reset_less=True)
        packed = Signal(reset_less=True)
        factors = Signal(NIBBLE * spec.beat_factors, reset_less=True)
        unpacked = Signal(CHANNEL_BITS, reset_less=True)
        pushed = Signal(2)
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
        """The bytes of an int8 beat: each is the sum of 4 terms in two levels, which is smaller than a multiplier."""
        bytes_a_factor = CASCADE * self.spec.channels.cascades
        products = []
        for place in range(BEAT_BYTES):
            weight = beat.word_select(place, NIBBLE).as_signed()
            factor = factors.word_select(place // bytes_a_factor, NIBBLE)
            parts = [Mux(factor[i], weight << i, 0) for i in range(NIBBLE)]
            products.append(((parts[0] + parts[1]) + (parts[2] + parts[3]))[:8])
        return products

    def _count(self, m: Module, step: Signal, entry: Signal) -> Signal:
        """Counts the int8 beats of an order. Drives ``entry``, the place of a beat's factors in the header, and returns
        whether the header has served its last beat.

        The loops are pass, word, beat of the word (``group``). All words of a span use the same entries: at the end of
        a word within a span, ``entry`` goes back to the span's first.
        """
        spec, order = self.spec, self.order.payload
        groups = spec.channels.block_beats
        group = Signal(range(max(groups, 2)))
        word = Signal(range(spec.max_words))
        in_span = Signal(range(max(spec.span_words, 2)))
        span = Signal(range(max(spec.spans, 2)))
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
