"""The activations of a systolic array: gathered into words of T x D, and replayed for every pass.

The words never wait in a FIFO. The array sees that a word is there, takes it when its weights and the room for its sums
are there too, and gets it from the RAM a fixed number of cycles later. So no enable reaches the words.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory import ReplayControl, ReplayOrder, ReplaySpec
from ..ram import RegisteredRam, small_style
from ..resources import Resources
from ..stream import connect, tile
from .arrayspec import ACTIVATION_BITS
from .systolic import WordOffer

__all__ = ["ActivationBuffer", "ActivationBufferSpec"]


@dataclass(frozen=True, kw_only=True)
class ActivationBufferSpec:
    """A buffer of ``words`` words of T x D int8 activations.

    Attributes:
        rows: tokens of a tile, T.
        depth: features of a word, D.
        lanes: features of a row in a beat; a word has D / ``lanes`` beats.
        beats: beats of a row. If they do not fill whole words, the last word of a row ends with copies of its last
            beat; the weights of these places must be 0.
        words: words of the ring.
        max_repeat: readings of a word.

    Raises:
        ValueError: for lanes that do not divide the depth, and as `ReplaySpec`.
    """

    rows: int
    depth: int
    lanes: int
    beats: int
    words: int
    max_repeat: int

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.depth % self.lanes:
            raise ValueError(f"activation lanes must divide the depth {self.depth}, not {self.lanes}")
        _ = self.replay

    @property
    def parts(self) -> int:
        """Beats of a word."""
        return self.depth // self.lanes

    @property
    def short(self) -> bool:
        """Whether the last word of a row has fewer beats than the rest."""
        return self.beats % self.parts != 0

    @property
    def style(self) -> str:
        """The style of the RAM."""
        return "ultra" if self.words > 1024 else small_style(self.words)

    @property
    def replay(self) -> ReplaySpec:
        """The ring of words, each of ``parts`` beats."""
        width = self.rows * self.depth * ACTIVATION_BITS
        return ReplaySpec(width, self.words, self.style, self.max_repeat, groups=self.parts)

    @property
    def shape(self) -> str:
        """Words x bits."""
        return self.replay.shape

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word on offer."""
        return ReplaySpec.control_latency

    @property
    def read_latency(self) -> int:
        """Cycles from the acceptance of a word's offer to the word."""
        return self.replay.ram.latency

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        part = self.parts.bit_length() + (self.beats.bit_length() if self.short else 0)
        return self.replay.ram.resources + self.replay.control_resources + Resources(lut=2 * part + self.parts, ff=part)


class ActivationBuffer(wiring.Component):
    """The ring of words, written beat by beat.

    Members:
        input: tile stream, ``lanes`` int8 of each row in a beat.
        order: stream of `ReplayOrder`, in words.
        offers: stream of `WordOffer`.
        word: the word, [row][feature] int8, `ActivationBufferSpec.read_latency` cycles after its offer was taken.
    """

    def __init__(self, spec: ActivationBufferSpec):
        self.spec = spec
        super().__init__(
            {
                "input": In(stream.Signature(tile(spec.rows, spec.lanes, signed(ACTIVATION_BITS)))),
                "order": In(stream.Signature(ReplayOrder(spec.words, spec.max_repeat))),
                "offers": Out(stream.Signature(WordOffer)),
                "word": Out(spec.rows * spec.depth * ACTIVATION_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.ram = ram = RegisteredRam(spec.replay.ram)
        m.submodules.control = control = ReplayControl(spec.words, spec.max_repeat)
        connect(m, self.order, control.order)
        accept = Signal()
        enable, complete = self._gather(m, accept)
        m.d.comb += [
            self.input.ready.eq(control.room),
            accept.eq(self.input.valid & control.room),
            control.written.eq(complete),
            ram.write_enable.eq(enable),
            ram.write_address.eq(control.write_address),
            ram.write_data.eq(self.input.payload),
            ram.read_address.eq(control.addresses.payload.address),
            self.offers.valid.eq(control.addresses.valid),
            self.offers.payload.last.eq(control.addresses.payload.last),
            control.addresses.ready.eq(self.offers.ready),
        ]
        # The RAM has [beat][row][lane], the word [row][beat][lane].
        beats = [ram.read_data.word_select(part, spec.replay.ram.group_bits) for part in range(spec.parts)]
        size = spec.lanes * ACTIVATION_BITS
        m.d.comb += self.word.eq(Cat(beat.word_select(row, size) for row in range(spec.rows) for beat in beats))
        return m

    def _gather(self, m: Module, accept: Signal) -> tuple[Value, Value]:
        """The parts of the word that a beat is written to, and whether it completes the word."""
        spec = self.spec
        parts = spec.parts
        turn = Signal(parts, init=1)  # the part of the next beat, as one bit of several
        if not spec.short:
            complete = accept & turn[-1]
            enable: Value = Mux(accept, turn, 0)
        else:
            left = Signal(range(spec.beats), init=spec.beats - 1)  # beats of the row after the next one
            row_ends = Signal(init=spec.beats == 1)
            complete = accept & (turn[-1] | row_ends)
            rest = Cat(turn[: part + 1].any() for part in range(parts))
            enable = Mux(accept, Mux(row_ends, rest, turn), 0)
            with m.If(accept):
                m.d.sync += left.eq(Mux(row_ends, spec.beats - 1, left - 1))
                m.d.sync += row_ends.eq(Mux(row_ends, spec.beats == 1, left == 1))
        with m.If(accept):
            m.d.sync += turn.eq(Mux(complete, 1, turn << 1))
        return enable, complete
