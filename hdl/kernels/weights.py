"""The way of weights: how memory channels fill the RAMs of an array, and in which order their beats come.

A channel serves a share of the RAMs. It brings a word for each of them before the next address's, so that an address
can be read as soon as all channels have reached it. So many addresses make a block, whose words follow each other
without regard to beats: 13 RAMs get 8 words each out of 13 beats, where single words would take 2 beats each.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Array, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..pipeline import advance
from ..resources import Resources

__all__ = ["CHANNEL_RAMS", "LoadChannel", "WeightChannels", "beats_a_word", "block_words", "choice_cost"]

CHANNEL_RAMS = CHANNEL_BITS // (8 * CASCADE)
"""RAMs that a memory channel's beat has a word for."""

MAX_BLOCK_WORDS = 8
"""With so many words of each RAM, no block has more than a word's room left over."""


@cache
def block_words(rams: int, divisor: int) -> int:
    """Words of each of a channel's ``rams`` in a block that waste the least: of those that divide ``divisor``, the
    fewest. A beat must not have two words of a RAM, so there is one where the RAMs are fewer than its words."""
    choices = [words for words in range(1, MAX_BLOCK_WORDS + 1) if divisor % words == 0 and rams >= CHANNEL_RAMS]
    return min(choices, key=lambda words: (Fraction(ceil(words * rams / CHANNEL_RAMS), words), words), default=1)


@cache
def beats_a_word(rams: int, divisor: int) -> float:
    """Beats in which each of a channel's RAMs gets a word, on average, with the best blocks."""
    words = block_words(rams, divisor)
    return ceil(words * rams / CHANNEL_RAMS) / words


@cache
def choice_cost(rams: int, words: int) -> tuple[int, int]:
    """LUT and FF of a RAM of a channel with so many, estimated: its enable, and what chooses among the places of a beat
    where its words are, in blocks of so many: for each bit a LUT for up to 4, else 3."""
    places = len({word * rams % CHANNEL_RAMS for word in range(words)})
    each = 0 if places == 1 else 1 if places <= 4 else 3
    return 8 * CASCADE * each + 6 * (places > 1), 2 + (places - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class WeightChannels:
    """``channels`` memory channels that fill the RAMs of ``columns`` x ``cascades``, a share of the RAMs each.

    ``block`` words of each RAM lie side by side in memory, without regard to beats; what is loaded is a multiple of
    them. ``whole_columns``: no two channels share a column.

    Raises:
        ValueError: for channels that have no RAM, and for blocks that give a RAM two words in a beat.
    """

    columns: int
    cascades: int
    channels: int
    block: int = 1
    whole_columns: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= self.columns:
            raise ValueError(
                f"linear channels must be 1 to {self.columns}, one for each column at most, not {self.channels}"
            )
        if self.block > 1 and self.channel_rams < CHANNEL_RAMS:
            raise ValueError(
                f"linear blocks of {self.block} words need {CHANNEL_RAMS} RAMs a channel, not {self.channel_rams}"
            )

    @property
    def rams(self) -> int:
        """Weight RAMs, one a column and cascade."""
        return self.columns * self.cascades

    @property
    def channel_rams(self) -> int:
        """RAMs a memory channel feeds."""
        if self.whole_columns:
            return ceil(self.columns / self.channels) * self.cascades
        return ceil(self.rams / self.channels)

    @property
    def block_beats(self) -> int:
        """Beats of a block: ``block`` words for each RAM of a channel."""
        return ceil(self.block * self.channel_rams / CHANNEL_RAMS)

    def beats(self, words: int) -> int:
        """Beats that bring so many words to each RAM.

        Raises:
            ValueError: for words that do not fill blocks.
        """
        if words % self.block:
            raise ValueError(f"linear weights must fill blocks of {self.block} words, not be {words} words")
        return words // self.block * self.block_beats

    @property
    def resources(self) -> Resources:
        """LUT and FF of the loaders, estimated: a beat and counters for each channel; for each RAM its enable, and
        where its words are in several places of a beat, what chooses."""
        lut, ff = choice_cost(self.channel_rams, self.block)
        choice = Resources(lut=lut, ff=ff)
        return Resources(lut=30, ff=CHANNEL_BITS + 60) * self.channels + choice * self.rams

    def places(self, index: int) -> list[tuple[int, int]]:
        """Column and cascade of a channel's RAMs, in the order of its words."""
        first = index * self.channel_rams
        return [divmod(ram, self.cascades) for ram in range(first, min(first + self.channel_rams, self.rams))]

    def slots(self, place: int) -> list[tuple[int, int]]:
        """Beat of a block and place in the beat of each word of the RAM that is number ``place`` of a channel."""
        return [divmod(word * self.channel_rams + place, CHANNEL_RAMS) for word in range(self.block)]

    def complete(self, beats: int) -> int:
        """Words that so many beats of a block bring to all RAMs of a channel."""
        return min(self.block, beats * CHANNEL_RAMS // self.channel_rams)

    def begins(self, beat: int) -> bool:
        """Whether a beat of a block has some of the word behind the one that it works on."""
        word = self.complete(beat) + 1
        return word < self.block and word * self.channel_rams < (beat + 1) * CHANNEL_RAMS

    def pack(self, cut: np.ndarray) -> np.ndarray:
        """The beats, uint8 [channels, `beats` of passes * words, 64], of weights int8 [passes, columns, inputs], the
        columns in the order in which they stand and the inputs a multiple of their depth."""
        passes, _, inputs = cut.shape
        words = inputs // (self.cascades * CASCADE)
        beats = self.beats(passes * words)
        # [pass, column, word, cascade, byte] -> [RAM, address = pass * words + word, byte]
        rams = cut.reshape(passes, self.columns, words, self.cascades, CASCADE).transpose(1, 3, 0, 2, 4)
        rams = rams.reshape(self.rams, passes * words, CASCADE)
        blocks = np.zeros(
            (self.channels, passes * words // self.block, self.block_beats * CHANNEL_RAMS, CASCADE), dtype=np.int8
        )
        for channel, block in enumerate(blocks):
            share = rams[channel * self.channel_rams : (channel + 1) * self.channel_rams]
            padded = np.zeros((self.channel_rams, *share.shape[1:]), dtype=np.int8)
            padded[: len(share)] = share
            filled = padded.transpose(1, 0, 2).reshape(len(block), -1, CASCADE)
            block[:, : filled.shape[1]] = filled
        return np.ascontiguousarray(blocks.reshape(self.channels, beats, -1)).view(np.uint8)


class LoadChannel(wiring.Component):
    """A channel on its way into ``rams`` RAMs, which are rings of ``depth`` words.

    Members: ``channel`` (512-bit beats), ``free`` (words of the rings that are free for the slowest channel),
    ``written`` (strobe: all channels have written a word more), ``ahead`` (level: this one has written more than the
    slowest); for each RAM, a cycle after a beat was accepted, a bit of ``enable``, ``address[i]`` and ``data[i]``.
    """

    def __init__(self, spec: WeightChannels, rams: int, depth: int):
        self.channels, self.rams, self.depth = spec, rams, depth
        self.spec = (spec.block, spec.channel_rams, rams, depth)
        super().__init__(
            {
                "channel": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "free": In(range(depth + 1)),
                "written": In(1),
                "ahead": Out(1),
                "enable": Out(rams),
                "address": Out(Shape.cast(range(max(depth, 2)))).array(rams),
                "data": Out(8 * CASCADE).array(rams),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, depth = self.channels, self.depth
        index, words = Signal(range(max(spec.block_beats, 2))), Signal(range(depth + 1))
        accept, completes, begins = Signal(), Signal(), Signal()
        beats = range(spec.block_beats)
        m.d.comb += [
            completes.eq(Array(spec.complete(beat + 1) - spec.complete(beat) for beat in beats)[index]),
            begins.eq(Array(spec.begins(beat) for beat in beats)[index]),
            # A beat may need the place of two words.
            self.channel.ready.eq((self.free != words) & (~begins | (self.free != words + 1))),
            accept.eq(self.channel.valid & self.channel.ready),
            self.ahead.eq(words != 0),
        ]
        m.d.sync += words.eq(words + (accept & completes) - self.written)
        advance(m, index, spec.block_beats, accept)
        address = Signal.like(self.address[0])
        advance(m, address, depth, accept & completes)
        self._write(m, accept, index, address)
        return m

    def _write(self, m: Module, accept: Signal, index: Signal, address: Signal) -> None:
        """Registers a beat, its word's address and the following, and for each RAM what it gets of the beat."""
        spec, depth = self.channels, self.depth
        beat = Signal(CHANNEL_BITS, reset_less=True)
        at, after = (Signal.like(address, name=name, reset_less=True) for name in ("at", "after"))
        m.d.sync += [beat.eq(self.channel.payload), at.eq(address), after.eq(Mux(address == depth - 1, 0, address + 1))]
        for ram in range(self.rams):
            places = sorted({place for _, place in spec.slots(ram)})
            # By the beat of a block: whether there is a word for the RAM, whether the next one, and where.
            gets = [(0, 0, 0)] * spec.block_beats
            for word, (when, place) in enumerate(spec.slots(ram)):
                gets[when] = (1, word - spec.complete(when), places.index(place))
            enable, following = Signal(name=f"enable{ram}"), Signal(name=f"following{ram}", reset_less=True)
            chosen = Signal(range(max(len(places), 2)), name=f"chosen{ram}", reset_less=True)
            enables, followings, choices = zip(*gets, strict=True)
            m.d.sync += [
                enable.eq(accept & Array(enables)[index]),
                following.eq(Array(followings)[index]),
                chosen.eq(Array(choices)[index]),
            ]
            m.d.comb += [
                self.enable[ram].eq(enable),
                self.address[ram].eq(Mux(following, after, at)),
                self.data[ram].eq(Array(beat.word_select(place, 8 * CASCADE) for place in places)[chosen]),
            ]
