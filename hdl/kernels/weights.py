"""The way of weights: how memory channels fill the RAMs of an array, and in which order their beats come.

A channel serves the RAMs of some of the columns. It brings a word for each of them before the next address's, so that
an address can be read as soon as all channels have reached it.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..memory import ReplayControl
from ..resources import Resources
from .systolic import SystolicArray

__all__ = ["CHANNEL_RAMS", "WeightChannels", "load_channel"]

CHANNEL_RAMS = CHANNEL_BITS // (8 * CASCADE)
"""RAMs that a memory channel's beat has a word for."""


@dataclass(frozen=True, kw_only=True)
class WeightChannels:
    """``channels`` memory channels that fill the RAMs of ``columns`` x ``cascades``, a share of the columns each.

    Raises:
        ValueError: for channels that have no column.
    """

    columns: int
    cascades: int
    channels: int

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= self.columns:
            raise ValueError(
                f"linear channels must be 1 to {self.columns}, one for each column at most, not {self.channels}"
            )

    @property
    def rams(self) -> int:
        """Weight RAMs, one a column and cascade."""
        return self.columns * self.cascades

    @property
    def channel_rams(self) -> int:
        """RAMs a memory channel feeds: those of its share of the columns."""
        return ceil(self.columns / self.channels) * self.cascades

    @property
    def groups(self) -> int:
        """Beats that make one word for each RAM of a channel."""
        return ceil(self.channel_rams / CHANNEL_RAMS)

    @property
    def resources(self) -> Resources:
        """LUT and FF of the loaders, estimated."""
        return Resources(lut=30, ff=CHANNEL_BITS + 40) * self.channels

    def places(self, index: int) -> list[tuple[int, int]]:
        """Column and cascade of a channel's RAMs, in the order of its words."""
        first = index * self.channel_rams
        return [divmod(ram, self.cascades) for ram in range(first, min(first + self.channel_rams, self.rams))]

    def pack(self, cut: np.ndarray) -> np.ndarray:
        """The beats, uint8 [channels, passes * words * groups, 64], of weights int8 [passes, columns, inputs], the
        columns in the order in which they stand and the inputs a multiple of their depth."""
        passes, _, inputs = cut.shape
        words = inputs // (self.cascades * CASCADE)
        # [pass, column, word, cascade, byte] -> [RAM, address = pass * words + word, byte]
        rams = cut.reshape(passes, self.columns, words, self.cascades, CASCADE).transpose(1, 3, 0, 2, 4)
        rams = rams.reshape(self.rams, passes * words, CASCADE)
        places = np.zeros((self.channels, self.groups * CHANNEL_RAMS, passes * words, CASCADE), dtype=np.int8)
        for channel in range(self.channels):
            share = rams[channel * self.channel_rams : (channel + 1) * self.channel_rams]
            places[channel, : len(share)] = share
        beats = places.reshape(self.channels, self.groups, CHANNEL_RAMS, passes * words, CASCADE)
        beats = beats.transpose(0, 3, 1, 2, 4).reshape(self.channels, -1, CHANNEL_RAMS * CASCADE)
        return np.ascontiguousarray(beats).view(np.uint8)


def load_channel(
    m: Module, spec: WeightChannels, index: int, channel: stream.Interface, ring: ReplayControl, array: SystolicArray
) -> Signal:
    """Writes a channel's beats into its RAMs, whose words are ``ring``'s; returns how many words it is ahead of the
    slowest channel."""
    depth = ring.depth
    group = Signal(range(max(spec.groups, 2)), name=f"group{index}")
    address = Signal(range(max(depth, 2)), name=f"address{index}")
    ahead = Signal(range(depth + 1), name=f"ahead{index}")
    accept, word_end = Signal(name=f"accept{index}"), Signal(name=f"word_end{index}")
    beat = Signal(CHANNEL_BITS, name=f"beat{index}", reset_less=True)
    beat_valid, beat_group = Signal(name=f"beat_valid{index}"), Signal.like(group, name=f"beat_group{index}")
    beat_address = Signal.like(address, name=f"beat_address{index}")
    m.d.comb += [
        channel.ready.eq(ring.free != ahead),
        accept.eq(channel.valid & channel.ready),
        word_end.eq(accept & (group == spec.groups - 1)),
    ]
    m.d.sync += [
        beat.eq(channel.payload),
        beat_valid.eq(accept),
        beat_group.eq(group),
        beat_address.eq(address),
        ahead.eq(ahead + word_end - ring.written),
    ]
    with m.If(accept):
        m.d.sync += group.eq(Mux(word_end, 0, group + 1))
    with m.If(word_end):
        m.d.sync += address.eq(Mux(address == depth - 1, 0, address + 1))
    for place, (column, cascade) in enumerate(spec.places(index)):
        write = array.write[column]
        group_of, slot = divmod(place, CHANNEL_RAMS)
        m.d.comb += [
            write.enable[cascade].eq(beat_valid & (beat_group == group_of)),
            write.data.word_select(cascade, 8 * CASCADE).eq(beat.word_select(slot, 8 * CASCADE)),
        ]
        if cascade == 0:
            m.d.comb += write.address.eq(beat_address)
    return ahead
