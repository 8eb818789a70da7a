"""How memory channels fill the weight RAMs of an array, and the order of the words in their beats.

A channel serves a share of the RAMs. It brings the words of one address for all its RAMs, then those of the next
address, so that an address can be read as soon as all channels have reached it. A beat has room for 8 words.

Some addresses form a *block*, whose words follow each other without regard to beats. With 13 RAMs and blocks of 3
addresses, word w of RAM r is at position 13 * w + r of its block, and the 39 words take 5 beats:

    beat     position in the beat
             0    1    2    3    4    5    6    7
    0       r0w0 r1w0 r2w0 r3w0 r4w0 r5w0 r6w0 r7w0
    1       r8w0 r9w0 ...            r12w0 r0w1 r1w1 r2w1
    2       r3w1 r4w1 ...
    3       r11w1 r12w1 r0w2 ...
    4       r6w2 r7w2 ...                      r12w2  -

Without blocks, each address would take 2 beats, so 3 addresses would take 6.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Array, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..counted import Turns
from ..delay_registers import advance
from ..dsp import CASCADE
from ..resources import Resources

__all__ = [
    "CHANNEL_RAMS",
    "LoadChannel",
    "WeightChannels",
    "beats_a_word",
    "block_words",
    "channel_rams",
    "choice_cost",
]

CHANNEL_RAMS = CHANNEL_BITS // (8 * CASCADE)
"""Words of a beat of a memory channel."""

MAX_BLOCK_WORDS = 8
"""The largest block: 8 words of each RAM leave no room in their last beat."""


def channel_rams(rams: Any, channels: Any) -> Any:
    """RAMs of each of so many channels; the last one may have fewer. Numbers, or arrays of them."""
    return -(-rams // channels)


@cache
def block_words(rams: int, divisor: int) -> int:
    """The size of the blocks that waste least of their beats, for a channel of so many ``rams``.

    It divides ``divisor``; if several waste the same, it is the smallest. A beat must not have two words of one RAM, so
    the size is 1 if a beat has more words than there are RAMs.
    """
    choices = [words for words in range(1, MAX_BLOCK_WORDS + 1) if divisor % words == 0 and rams >= CHANNEL_RAMS]
    return min(choices, key=lambda words: (Fraction(ceil(words * rams / CHANNEL_RAMS), words), words), default=1)


@cache
def beats_a_word(rams: int, divisor: int) -> float:
    """Beats per address, on average, with the best blocks."""
    words = block_words(rams, divisor)
    return ceil(words * rams / CHANNEL_RAMS) / words


@cache
def choice_cost(rams: int, words: int) -> tuple[int, int]:
    """LUT and FF for one RAM of a channel, estimated: its enable, and the choice of its word from a beat.

    The channel has ``rams`` RAMs and blocks of ``words``. A RAM's words are at some positions of a beat. Each bit of
    the choice takes 1 LUT for 2 to 4 positions, 3 LUTs for more.
    """
    positions = len({word * rams % CHANNEL_RAMS for word in range(words)})
    luts = 0 if positions == 1 else 1 if positions <= 4 else 3
    return 8 * CASCADE * luts + 6 * (positions > 1), 2 + (positions - 1).bit_length()


class Delivery(NamedTuple):
    """What a beat has for a RAM: whether a word, whether that is for the ``next_address`` after the one that the
    channel is filling, and the word's ``position`` in the beat."""

    present: bool
    next_address: bool
    position: int


@dataclass(frozen=True, kw_only=True)
class WeightChannels:
    """Memory channels that fill the RAMs of ``columns`` x ``cascades``, each a share of them.

    Attributes:
        columns: columns of the array.
        cascades: cascades, and so RAMs, of each column.
        channels: memory channels.
        block: words of each RAM in a block; the words of a load must be a multiple of it.
        whole_columns: whether all RAMs of a column belong to one channel.

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
                f"linear blocks of {self.block} words need {CHANNEL_RAMS} RAMs per channel, not {self.channel_rams}"
            )

    @property
    def rams(self) -> int:
        """Weight RAMs: one for each column and cascade."""
        return self.columns * self.cascades

    @property
    def channel_rams(self) -> int:
        """RAMs of a channel; the last one may have fewer."""
        if self.whole_columns:
            return int(channel_rams(self.columns, self.channels)) * self.cascades
        return int(channel_rams(self.rams, self.channels))

    @property
    def block_beats(self) -> int:
        """Beats of a block: ``block`` words for each RAM of a channel."""
        return ceil(self.block * self.channel_rams / CHANNEL_RAMS)

    def beats(self, words: int) -> int:
        """Beats that bring ``words`` words to each RAM.

        Raises:
            ValueError: for words that do not fill blocks.
        """
        if words % self.block:
            raise ValueError(f"linear weights must fill blocks of {self.block} words, not be {words} words")
        return words // self.block * self.block_beats

    @property
    def resources(self) -> Resources:
        """LUT and FF of the loaders, estimated: a beat and counters per channel, and `choice_cost` per RAM."""
        lut, ff = choice_cost(self.channel_rams, self.block)
        choice = Resources(lut=lut, ff=ff)
        return Resources(lut=30, ff=CHANNEL_BITS + 60) * self.channels + choice * self.rams

    def places(self, index: int) -> list[tuple[int, int]]:
        """Column and cascade of a channel's RAMs, in the order of its words."""
        first = index * self.channel_rams
        return [divmod(ram, self.cascades) for ram in range(first, min(first + self.channel_rams, self.rams))]

    def complete(self, beats: int) -> int:
        """Words of each RAM that all RAMs of a channel have after so many beats of a block."""
        return min(self.block, beats * CHANNEL_RAMS // self.channel_rams)

    def begins(self, beat: int) -> bool:
        """Whether a beat of a block has words for two addresses: the end of one, and the beginning of the next."""
        next_word = self.complete(beat) + 1
        return next_word < self.block and next_word * self.channel_rams < (beat + 1) * CHANNEL_RAMS

    def deliveries(self, ram: int) -> list[Delivery]:
        """What each beat of a block has for number ``ram`` of a channel's RAMs.

        In the example above, RAM 4 gets word 0 from beat 0 (position 4), word 1 from beat 2 (position 1) and word 2
        from beat 3 (position 6). Beat 3 begins with the channel at word 1, so its word 2 is for the next address.
        """
        found = [Delivery(present=False, next_address=False, position=0)] * self.block_beats
        for word in range(self.block):
            beat, position = divmod(word * self.channel_rams + ram, CHANNEL_RAMS)
            found[beat] = Delivery(present=True, next_address=word != self.complete(beat), position=position)
        return found

    def pack(self, cut: np.ndarray) -> np.ndarray:
        """The beats, uint8 [channels, `beats` of passes * words, 64], of weights int8 [passes, columns, inputs].

        The columns are in the order of the hardware; the inputs are a multiple of the depth of the array.
        """
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
    """Writes the beats of a channel into its ``rams`` RAMs, which are rings of ``depth`` words.

    All outputs come from registers.

    Members:
        channel: stream of 512-bit beats.
        released: strobe; a word of the rings has been read for the last time.
        written: strobe; this channel has written one word more to all its RAMs, one cycle after its last beat.
        enable, address[i], data[i]: the write port of RAM i, one cycle after a beat is accepted.
    """

    def __init__(self, spec: WeightChannels, rams: int, depth: int):
        self.channels, self.rams, self.depth = spec, rams, depth
        self.spec = (spec.block, spec.channel_rams, rams, depth)
        super().__init__(
            {
                "channel": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "released": In(1),
                "written": Out(1),
                "enable": Out(rams),
                "address": Out(Shape.cast(range(max(depth, 2)))).array(rams),
                "data": Out(8 * CASCADE).array(rams),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, depth = self.channels, self.depth
        index = Turns("index", spec.block_beats)  # the present beat's number in its block
        beats = range(spec.block_beats)
        accept = Signal()
        completes = Signal()
        complete = Array(spec.complete(beat + 1) - spec.complete(beat) for beat in beats)
        m.d.comb += [
            accept.eq(self.channel.valid & self.channel.ready),
            completes.eq(accept & complete[index.count]),
        ]
        m.d.sync += self.written.eq(completes)
        index.step(m, accept)
        self._admit(m, accept, completes, index.count)
        address = Signal.like(self.address[0])
        advance(m, address, depth, completes)
        self._write(m, accept, index.count, address)
        return m

    def _admit(self, m: Module, accept: Signal, completes: Signal, index: Signal) -> None:
        """Computes ``ready`` one cycle ahead. A beat needs a free word; one that begins the next address needs two."""
        beats = range(self.channels.block_beats)
        begins = [self.channels.begins(beat) for beat in beats]
        two = Mux(accept, Array(begins[1:] + begins[:1])[index], Array(begins)[index])
        enough = []
        for needed in (1, 2):
            # Negative where the free words do not suffice: the sign is all that must be looked at.
            spare = Signal(range(-2, self.depth), init=self.depth - needed, name=f"spare{needed}")
            following = Signal.like(spare, name=f"following{needed}")
            m.d.comb += following.eq(spare + self.released - completes)
            m.d.sync += spare.eq(following)
            enough.append(~following[-1])
        ready = Signal(init=1)
        m.d.sync += ready.eq(Mux(two, enough[1], enough[0]))
        m.d.comb += self.channel.ready.eq(ready)

    def _write(self, m: Module, accept: Signal, index: Signal, address: Signal) -> None:
        """Registers the beat and the two addresses that it may be for, and gives each RAM its word of it."""
        depth = self.depth
        beat = Signal(CHANNEL_BITS, reset_less=True)
        at, after = (Signal.like(address, name=name, reset_less=True) for name in ("at", "after"))
        m.d.sync += [beat.eq(self.channel.payload), at.eq(address), after.eq(Mux(address == depth - 1, 0, address + 1))]
        for ram in range(self.rams):
            present, next_address, positions = zip(*self.channels.deliveries(ram), strict=True)
            # The positions at which this RAM's words occur, and which of them each beat uses.
            used = sorted({position for position, there in zip(positions, present, strict=True) if there})
            choices = [used.index(position) if there else 0 for position, there in zip(positions, present, strict=True)]
            enable, following = Signal(name=f"enable{ram}"), Signal(name=f"following{ram}", reset_less=True)
            chosen = Signal(range(max(len(used), 2)), name=f"chosen{ram}", reset_less=True)
            m.d.sync += [
                enable.eq(accept & Array(present)[index]),
                following.eq(Array(next_address)[index]),
                chosen.eq(Array(choices)[index]),
            ]
            m.d.comb += [
                self.enable[ram].eq(enable),
                self.address[ram].eq(Mux(following, after, at)),
                self.data[ram].eq(Array(beat.word_select(position, 8 * CASCADE) for position in used)[chosen]),
            ]
