"""What scores and weighted sums have in common: a systolic array whose weights are a layer's keys or values.

The weights arrive as tiles while others are still being read: of the layer before (`banks`), or, where attention is
causal, of the tiles before (`kvcache`). The activations are replayed, head by head, for every pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..dsp import CASCADE
from ..memory import ReplayBuffer, ReplaySpec
from ..pipeline import delay
from ..resources import Resources
from ..stream import Fork, Pack, connect, tile
from .arrayspec import ACTIVATION_BITS, ArraySpec
from .banks import BankSpec, Placement, Repeat
from .kvblocks import BLOCK, Block, merge_blocks, merge_resources
from .kvcache import CacheSpec, Locate
from .systolic import SystolicArray

__all__ = ["OFF_CHIP_LAYERS", "AttentionSpec", "AttentionUnit"]

OFF_CHIP_LAYERS = 2
"""The fewest layers in the RAMs where the rest is off chip: one that is read, and the next, which is loaded."""


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """What scores and weighted sums have in common.

    ``rows`` tokens a tile, ``heads`` of ``head_size`` features, sequences of up to ``max_length`` tokens; an array of
    ``columns`` x ``cascades`` * 8; ``lanes_in`` activations and ``lanes_stored`` features of keys or values arrive in
    a beat, ``lanes`` sums leave. ``layers`` of a KV cache, for causal attention; 0: two banks of whole layers, for
    bidirectional attention. ``channels`` of off-chip memory from which earlier tokens' keys or values come (`kvload`)
    into ``layers`` banks, 2 or more, which layers take in turn; 0: all lie on chip.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    heads: int
    head_size: int
    max_length: int
    columns: int
    cascades: int
    lanes_in: int
    lanes_stored: int
    lanes: int
    ram_style: str = "ultra"
    layers: int = 0
    channels: int = 0

    def __post_init__(self) -> None:
        if self.heads < 1 or self.max_length < 1:
            raise ValueError(f"attention needs a head and a token, not {self.heads} and {self.max_length}")
        if self.layers < 0:
            raise ValueError(f"attention layers must be those of its cache, or 0 without, not {self.layers}")
        if self.head_size % CASCADE:
            raise ValueError(f"attention head size must be a multiple of {CASCADE}, not {self.head_size}")
        if self.layers and self.max_length % self.rows:
            raise ValueError(
                f"attention with a cache must have whole tiles of {self.rows} tokens, not {self.max_length} tokens"
            )
        self._check_channels()
        if self.depth % self.lanes_in:
            raise ValueError(f"attention input lanes must divide its depth {self.depth}, not {self.lanes_in}")

    def _check_channels(self) -> None:
        if self.channels not in (0, 1, 2, 4, 8):
            raise ValueError(f"attention channels must be 0, 1, 2, 4 or 8, not {self.channels}")
        if self.channels and self.layers < OFF_CHIP_LAYERS:
            raise ValueError(f"attention with channels must have {OFF_CHIP_LAYERS} layers or more, not {self.layers}")
        if self.channels and self.columns % (BLOCK * self.channels):
            raise ValueError(
                f"attention columns must be a multiple of {BLOCK} for each of its {self.channels} channels, "
                f"not {self.columns}"
            )

    @property
    def depth(self) -> int:
        """Terms a cycle, D."""
        return self.cascades * CASCADE

    @property
    def max_tiles(self) -> int:
        """Tiles of the longest sequence."""
        return ceil(self.max_length / self.rows)

    def tiles(self, tokens: int) -> int:
        """Tiles of a sequence."""
        return ceil(tokens / self.rows)

    @property
    def banks(self) -> BankSpec:
        """Where the stored words lie."""
        raise NotImplementedError

    def _banks(self, *, max_passes: int, max_words: int, along: Literal["passes", "words"], shares: int) -> BankSpec:
        """Banks of up to so many passes and words, of which a tile fills one of so many shares (see `CacheSpec`)."""
        size = {"max_tiles": self.max_tiles, "heads": self.heads, "max_passes": max_passes, "max_words": max_words}
        if not self.layers:
            return BankSpec(**size)
        off_chip = self.channels > 0
        return CacheSpec(layers=self.layers, rows=self.rows, along=along, shares=shares, off_chip=off_chip, **size)

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        raise NotImplementedError

    @property
    def replay(self) -> ReplaySpec:
        """The buffer of activations."""
        raise NotImplementedError

    def tile_cycles(self, tokens: int) -> int:
        """Cycles of a tile that sees ``tokens`` keys (paper, section 4: l d / M for each of its tokens)."""
        raise NotImplementedError

    def cycles(self, tokens: int) -> int:
        """Cycles of a layer of a sequence of ``tokens`` from its start: each tile sees all of it, or with a cache what
        there is up to its own end."""
        tiles = self.tiles(tokens)
        if not self.layers:
            return tiles * self.tile_cycles(tokens)
        return sum(self.tile_cycles((tile + 1) * self.rows) for tile in range(tiles))

    def latency(self, words: int) -> int:
        """Cycles from the acceptance of the last stored beat of a layer (with a cache: of a tile), its activations and
        its order there, to that of the first sums.

        ``words`` is the length of a pass.
        """
        return 1 + words + self.array.latency

    @property
    def order_latency(self) -> int:
        """Cycles from the acceptance of an order to that of its first stored beat."""
        return 1

    @property
    def activation_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word's entry into the array, its layer
        stored."""
        return 1 + self.replay.latency

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        writer = Resources(lut=60 + 2 * self.columns, ff=60 + 8 * self.rows + 12 * self.columns)
        blocks = len(self.array.ram.blocks)
        if self.layers and blocks > 1:  # an enable for each byte of each block, and the block's own
            writer += Resources(lut=self.columns * self.cascades * blocks * (CASCADE + 2))
        if self.channels:
            writer += merge_resources(self)
        return self.array.resources + self.replay.resources + self.banks.resources + writer


class AttentionUnit(wiring.Component):
    """A systolic array with banks of stored weights.

    Members: ``order`` (stream of `BankOrder`, one a layer, or with a cache of `CacheOrder`, one a tile), ``stored``
    (tile stream of int8, keys or values, head after head), ``activations`` (tile stream of int8), ``sums`` (tile
    stream). With channels also ``earlier[c]`` (streams of `Block`), ``loaded`` (strobe: a layer's have all come, and
    its new tokens' may be stored) and ``released`` (strobe: a layer has been read to the end).
    """

    def __init__(self, spec: AttentionSpec):
        self.spec = spec
        byte = signed(ACTIVATION_BITS)
        members: dict[str, Any] = {
            "order": In(stream.Signature(spec.banks.order)),
            "stored": In(stream.Signature(tile(spec.rows, spec.lanes_stored, byte))),
            "activations": In(stream.Signature(tile(spec.rows, spec.lanes_in, byte))),
            "sums": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.array.sum_bits)))),
        }
        if spec.channels:
            members["earlier"] = In(stream.Signature(Block(spec))).array(spec.channels)
            members |= {"loaded": In(1), "released": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.orders = orders = Fork(spec.banks.located, 3, spec.banks.orders_ahead)
        m.submodules.array = array = SystolicArray(spec.array)
        m.submodules.reader = reader = spec.banks.reader(hold=spec.array.read_delay)
        connect(m, self._located(m), orders.input)
        connect(m, orders.outputs[0], reader.order)
        connect(m, reader.addresses, array.addresses)
        connect(m, array.sums, self.sums)
        m.submodules.placement = placement = self.placement()
        connect(m, orders.outputs[1], placement.order)
        accept, stored = Signal(), Signal()
        ports, loaded = self._off_chip(m, array, reader, placement, accept) if spec.channels else (array.write, 1)
        m.d.comb += [
            self.stored.ready.eq(placement.order.valid & (reader.full != spec.banks.ahead) & loaded),
            accept.eq(self.stored.valid & self.stored.ready),
            placement.step.eq(accept),
            reader.stored.eq(stored),
        ]
        m.d.sync += stored.eq(placement.stored)  # the last write is a cycle behind
        self.write(m, ports, placement, accept)
        self._replay(m, orders.outputs[2], array)
        return m

    def _off_chip(
        self, m: Module, array: SystolicArray, reader: Any, placement: Placement, accept: Signal
    ) -> tuple[Sequence[Any], Any]:
        """Takes earlier tokens' blocks; the write ports of new ones, and whether their layer is loaded."""
        spec = self.spec
        assert isinstance(spec.banks, CacheSpec)
        loaded = Signal(range(spec.layers + 1))  # layers that are loaded, and whose new tokens are not all stored
        m.d.sync += loaded.eq(loaded + self.loaded - (placement.stored & placement.order.payload.last))
        read = reader.order.valid & reader.order.ready & reader.order.payload.last
        m.d.comb += self.released.eq(delay(m, "released", read, spec.array.read_delay, control=True))
        keys = spec.banks.along == "passes"
        return merge_blocks(m, spec, array, self.earlier, accept, keys=keys), loaded != 0

    def _located(self, m: Module) -> Any:
        """The orders, with the addresses they mean."""
        if not isinstance(self.spec.banks, CacheSpec):
            return self.order
        m.submodules.locate = locate = Locate(self.spec.banks)
        connect(m, self.order, locate.order)
        return locate.located

    def rows(self, placement: Placement) -> Any:
        """The rows of the tile being stored that are written, a bit each."""
        return placement.order.payload.rows if self.spec.layers else (1 << self.spec.rows) - 1

    def placement(self) -> Placement:
        """Counts where the stored features go."""
        raise NotImplementedError

    def write(self, m: Module, ports: Sequence[Any], placement: Placement, accept: Signal) -> None:
        """Drives the columns' write ``ports``, a cycle after ``accept``."""
        raise NotImplementedError

    def bounds(self, order: Any) -> tuple[Any, Any]:
        """Words of a head's activations and how often they are read."""
        raise NotImplementedError

    def _replay(self, m: Module, order: Any, array: SystolicArray) -> None:
        """Packs the activations and replays each head's for every pass."""
        spec, replay = self.spec, self.spec.replay
        byte, ratio = signed(ACTIVATION_BITS), spec.depth // spec.lanes_in
        m.submodules.repeat = repeat = Repeat(spec.banks.located, spec.heads)
        m.submodules.pack = pack = Pack(spec.rows, spec.lanes_in, ratio, byte, beats=ratio)
        m.submodules.replay = words = ReplayBuffer(
            tile(spec.rows, spec.depth, byte), replay.depth, style=replay.style, max_repeat=replay.max_repeat
        )
        connect(m, order, repeat.input)
        connect(m, self.activations, pack.input)
        connect(m, pack.output, words.input)
        length, times = self.bounds(repeat.output.payload)
        m.d.comb += [
            words.order.valid.eq(repeat.output.valid),
            words.order.payload.length.eq(length),
            words.order.payload.repeat.eq(times),
            repeat.output.ready.eq(words.order.ready),
            array.activations.valid.eq(words.output.valid),
            array.activations.payload.word.eq(words.output.payload),
            array.activations.payload.last.eq(words.last),
            words.output.ready.eq(array.activations.ready),
        ]
