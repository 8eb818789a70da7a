"""The systolic linear unit: a matrix of weights times tiles of tokens, weights streamed in layer after layer.

A tile's activations are packed into words of T x D and replayed once for every pass (C output features); the weights
of a layer lie in the columns' RAMs and are replayed once for every tile, each word let go during the last tile, so
that the next layer's follow at once.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..memory import ReplayBuffer, ReplayControl, ReplaySpec
from ..resources import Resources
from ..stream import Pack, connect, tile
from .systolic import ACTIVATION_BITS, ArraySpec, SystolicArray

__all__ = ["Linear", "LinearSpec", "exact_matmul"]

CHANNEL_RAMS = CHANNEL_BITS // (8 * CASCADE)
"""RAMs that a memory channel's beat has a word for."""


def exact_matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Integer matrix product through float64, which is exact below 2**53 and uses BLAS, as integers do not.

    Raises:
        OverflowError: where a sum might not be exact.
    """
    bound = float(np.abs(left).max(initial=0)) * float(np.abs(right).max(initial=0)) * left.shape[-1]
    if bound >= 2**53:
        raise OverflowError(f"matrix product must stay below 2**53 to be exact in float64, not reach {bound:.3g}")
    return np.rint(left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class LinearSpec:
    """A linear unit: ``outputs`` x ``inputs`` weights on an array of ``rows`` x ``columns`` x ``cascades`` * 8.

    ``lanes_in`` features of a row arrive in a beat and ``lanes`` leave; ``channels`` memory channels fill the RAMs;
    ``ram_depth`` words of each RAM prefetch ahead; ``max_tiles`` is the longest sequence in tiles.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    inputs: int
    outputs: int
    columns: int
    cascades: int
    lanes_in: int
    lanes: int
    channels: int
    ram_depth: int
    max_tiles: int
    ram_style: str = "ultra"

    def __post_init__(self) -> None:
        if self.outputs % self.columns:
            raise ValueError(f"linear columns must divide its {self.outputs} outputs, not {self.columns}")
        if self.lanes_in < 1 or self.inputs % self.lanes_in or self.array.depth % self.lanes_in:
            raise ValueError(
                f"linear input lanes must divide its {self.inputs} inputs and depth {self.array.depth}, "
                f"not {self.lanes_in}"
            )
        if self.ram_depth < self.layer_words:
            raise ValueError(
                f"linear RAM must hold the {self.layer_words} words of a layer, not {self.ram_depth}; "
                "add columns or cascades"
            )
        if not 1 <= self.channels <= self.columns:
            raise ValueError(
                f"linear channels must be 1 to {self.columns}, one for each column at most, not {self.channels}"
            )

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        return ArraySpec(
            rows=self.rows,
            columns=self.columns,
            cascades=self.cascades,
            lanes=self.lanes,
            terms=self.inputs,
            least_words=self.words,
            ram_depth=self.ram_depth,
            ram_style=self.ram_style,
        )

    @property
    def words(self) -> int:
        """Words of activations a pass, ceil(K/D)."""
        return ceil(self.inputs / (self.cascades * CASCADE))

    @property
    def passes(self) -> int:
        """Passes a tile, N/C."""
        return self.outputs // self.columns

    @property
    def layer_words(self) -> int:
        """Words each RAM holds of a layer's weights."""
        return self.passes * self.words

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
    def layer_beats(self) -> int:
        """Beats a memory channel delivers for a layer."""
        return self.layer_words * self.groups

    def cycles(self, tiles: int) -> int:
        """Cycles the array is busy for ``tiles`` tiles, weights and activations at hand (paper, section 4: l d dFFN /
        M)."""
        return tiles * self.passes * self.array.pass_cycles(self.words)

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to that of its first sums, array idle, weights and tile
        there."""
        return self.activation_latency + self.array.latency

    @property
    def activation_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word's entry into the array."""
        return 1 + self.replay.latency

    @property
    def weight_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word of weights in all RAMs to its entry into the
        array: counted in its channel, then in all."""
        return 2

    @property
    def replay(self) -> ReplaySpec:
        """The activation buffer: a tile is read while the next arrives."""
        depth = 2 * self.words
        return ReplaySpec(
            self.rows * self.array.depth * 8, depth, "block" if depth > 64 else "distributed", self.passes
        )

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        control = ReplaySpec(8, self.ram_depth, self.ram_style, self.max_tiles).control_resources
        pack = Resources(lut=self.rows * self.array.depth * 8, ff=3 * self.rows * self.array.depth * 8)
        loader = Resources(lut=30, ff=CHANNEL_BITS + 40) * self.channels
        return self.array.resources + self.replay.resources + control + pack + loader

    def reference(self, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums, int64 [tokens, outputs], of int8 activations [tokens, inputs] and weights [outputs, inputs]."""
        return exact_matmul(activations, weights.T)

    def pack(self, weights: np.ndarray) -> np.ndarray:
        """A layer's weights, int8 [outputs, inputs], as the memory channels deliver them: uint8 [channels,
        layer_beats, 64]."""
        if weights.shape != (self.outputs, self.inputs):
            raise ValueError(f"linear weights must be {(self.outputs, self.inputs)}, not {weights.shape}")
        depth = self.array.depth
        padded = np.zeros((self.outputs, self.words * depth), dtype=np.int8)
        padded[:, : self.inputs] = weights
        order = [self.array.feature(column) for column in range(self.columns)]
        # [pass, column, word, cascade, byte] -> [RAM = column * cascades + cascade, address = pass * words + word,
        # byte]
        cut = padded.reshape(self.passes, self.columns, self.words, self.cascades, CASCADE)[:, order]
        rams = cut.transpose(1, 3, 0, 2, 4).reshape(self.rams, self.layer_words, CASCADE)
        places = np.zeros((self.channels, self.groups * CHANNEL_RAMS, self.layer_words, CASCADE), dtype=np.int8)
        for channel in range(self.channels):
            share = rams[channel * self.channel_rams : (channel + 1) * self.channel_rams]
            places[channel, : len(share)] = share
        beats = places.reshape(self.channels, self.groups, CHANNEL_RAMS, self.layer_words, CASCADE)
        beats = beats.transpose(0, 3, 1, 2, 4).reshape(self.channels, self.layer_beats, CHANNEL_RAMS * CASCADE)
        return np.ascontiguousarray(beats).view(np.uint8)


class Linear(wiring.Component):
    """A linear unit. A tile takes `LinearSpec.cycles`; nothing stalls once a pass has begun.

    Members: ``order`` (stream of a layer's number of tiles), ``activations`` (tile stream, ``lanes_in`` int8 a row),
    ``weights[i]`` (memory channels, beats of 512 bits: `LinearSpec.pack`), ``sums`` (tile stream, ``lanes`` signed
    sums a row, features in order).
    """

    def __init__(self, spec: LinearSpec):
        self.spec = spec
        array = spec.array
        super().__init__(
            {
                "order": In(stream.Signature(unsigned(spec.max_tiles.bit_length()))),
                "activations": In(stream.Signature(tile(spec.rows, spec.lanes_in, signed(ACTIVATION_BITS)))),
                "weights": In(stream.Signature(unsigned(CHANNEL_BITS))).array(spec.channels),
                "sums": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(array.sum_bits)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.array = array = SystolicArray(spec.array)
        self._activations(m, array)
        m.submodules.weights = weights = ReplayControl(spec.ram_depth, spec.max_tiles, hold=spec.array.read_delay)
        m.d.comb += [
            weights.order.valid.eq(self.order.valid),
            weights.order.payload.length.eq(spec.layer_words),
            weights.order.payload.repeat.eq(self.order.payload),
            self.order.ready.eq(weights.order.ready),
        ]
        connect(m, weights.addresses, array.addresses)
        ahead = [self._load(m, channel, weights, array) for channel in range(spec.channels)]
        m.d.comb += weights.written.eq(Cat(ahead).all())
        connect(m, array.sums, self.sums)
        return m

    def _activations(self, m: Module, array: SystolicArray) -> None:
        """Packs a tile into words and replays it for every pass."""
        spec = self.spec
        m.submodules.pack = pack = Pack(
            spec.rows, spec.lanes_in, spec.array.depth // spec.lanes_in, signed(ACTIVATION_BITS),
            beats=spec.inputs // spec.lanes_in,
        )  # fmt: skip
        words, shape = spec.replay, tile(spec.rows, spec.array.depth, signed(ACTIVATION_BITS))
        m.submodules.replay = replay = ReplayBuffer(shape, words.depth, style=words.style, max_repeat=words.max_repeat)
        connect(m, self.activations, pack.input)
        connect(m, pack.output, replay.input)
        m.d.comb += [
            replay.order.valid.eq(1),
            replay.order.payload.length.eq(spec.words),
            replay.order.payload.repeat.eq(spec.passes),
            array.activations.valid.eq(replay.output.valid),
            array.activations.payload.word.eq(replay.output.payload),
            array.activations.payload.last.eq(replay.last),
            replay.output.ready.eq(array.activations.ready),
        ]

    def _load(self, m: Module, index: int, weights: ReplayControl, array: SystolicArray) -> Any:
        """Writes a channel's beats into its RAMs; returns whether it is a word or more ahead of the slowest channel."""
        spec, channel = self.spec, self.weights[index]
        group = Signal(range(max(spec.groups, 2)), name=f"group{index}")
        address = Signal(range(max(spec.ram_depth, 2)), name=f"address{index}")
        ahead = Signal(range(spec.ram_depth + 1), name=f"ahead{index}")
        accept, word_end = Signal(name=f"accept{index}"), Signal(name=f"word_end{index}")
        beat = Signal(CHANNEL_BITS, name=f"beat{index}", reset_less=True)
        beat_valid, beat_group = Signal(name=f"beat_valid{index}"), Signal.like(group, name=f"beat_group{index}")
        beat_address = Signal.like(address, name=f"beat_address{index}")
        m.d.comb += [
            channel.ready.eq(weights.free != ahead),
            accept.eq(channel.valid & channel.ready),
            word_end.eq(accept & (group == spec.groups - 1)),
        ]
        m.d.sync += [
            beat.eq(channel.payload),
            beat_valid.eq(accept),
            beat_group.eq(group),
            beat_address.eq(address),
            ahead.eq(ahead + word_end - weights.written),
        ]
        with m.If(accept):
            m.d.sync += group.eq(Mux(word_end, 0, group + 1))
        with m.If(word_end):
            m.d.sync += address.eq(Mux(address == spec.ram_depth - 1, 0, address + 1))
        for place in range(min(spec.channel_rams, spec.rams - index * spec.channel_rams)):
            column, cascade = divmod(index * spec.channel_rams + place, spec.cascades)
            write = array.write[column]
            group_of, slot = divmod(place, CHANNEL_RAMS)
            m.d.comb += [
                write.enable[cascade].eq(beat_valid & (beat_group == group_of)),
                write.data.word_select(cascade, 8 * CASCADE).eq(beat.word_select(slot, 8 * CASCADE)),
            ]
            if cascade == 0:
                m.d.comb += write.address.eq(beat_address)
        return ahead != 0
