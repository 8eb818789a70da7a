"""Scores and weighted sums: a systolic array whose weights are keys or values, which arrive while it works.

There are three ways of attending. They differ in where the weights lie and when they may be read and written:

- Bidirectional attention (`barrier`): two banks of whole layers; a layer is read when all its keys are stored.
- Causal attention on chip (`kvcache`): a bank for every layer; a tile is read when its own keys are stored.
- Causal attention off chip (`loadedcache`): a few banks; earlier tokens are loaded into them ahead of their layer.

The banks (`AttentionSpec.banks`) make the parts that differ. `AttentionUnit` connects them in one way for all three:

    order ──► locate ─┬─► reader ── addresses ───────────────────► array ──► sums
                      ├─► placement ── write addresses ──┐          ▲ ▲
                      │                                  ▼          │ │
    stored, earlier ──┼─────────────────────────────► writes ───────┘ │
                      └─► repeat ──┐                                  │
                                   ▼                                  │
    activations ──► buffer ── words ──────────────────────────────────┘

`Scores` and `WeightedSums` add what differs between keys and values: see the methods at the end of `AttentionUnit`.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import delay
from ..stream import Fork, connect, tile
from .activationbuffer import ActivationBuffer
from .arrayspec import ACTIVATION_BITS
from .attentionspec import OFF_CHIP_LAYERS, AttentionSpec
from .banks import Placement, Repeat
from .kvblocks import KvBlock, merge_blocks
from .systolic import SystolicArray

__all__ = ["OFF_CHIP_LAYERS", "AttentionSpec", "AttentionUnit"]


class AttentionUnit(wiring.Component):
    """A systolic array with banks of stored weights.

    Members:
        order: stream of `BankSpec.order`, one for each layer (bidirectional) or each tile (causal).
        stored: tile stream of int8; keys or values, head after head.
        activations: tile stream of int8; each head's are replayed for every pass.
        sums: tile stream.
        earlier[c]: streams of `KvBlock`, the earlier tokens from channel c. This and the next only with channels.
        loaded: strobe; all earlier tokens of a layer have come, so its new ones may be stored.
        released: strobe; a layer has been read to the end.
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
            members["earlier"] = In(stream.Signature(KvBlock(spec.blocks))).array(spec.channels)
            members |= {"loaded": In(1), "released": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, banks = self.spec, self.spec.banks
        m.submodules.orders = orders = Fork(banks.located, 3, banks.orders_ahead)
        m.submodules.array = array = SystolicArray(spec.array)
        m.submodules.reader = reader = banks.reader(hold=spec.array.read_delay)
        connect(m, banks.locate(m, self.order), orders.input)
        connect(m, orders.outputs[0], reader.order)
        connect(m, reader.addresses, array.addresses)
        connect(m, array.sums, self.sums)
        m.submodules.placement = placement = self.placement()
        connect(m, orders.outputs[1], placement.order)
        self._store(m, array, reader, placement)
        self._replay(m, orders.outputs[2], array)
        return m

    def _store(self, m: Module, array: SystolicArray, reader: Any, placement: Placement) -> None:
        """Accepts keys or values when there is a bank for them, and writes them into the array's RAMs."""
        spec = self.spec
        accept = Signal()
        ports, loaded = array.write, 1
        if spec.channels:
            ports, loaded = self._load(m, array, reader, placement, accept)
        m.d.comb += [
            self.stored.ready.eq(placement.order.valid & (reader.full != spec.banks.ahead) & loaded),
            accept.eq(self.stored.valid & self.stored.ready),
            placement.step.eq(accept),
            reader.stored.eq(placement.stored),
        ]
        self.write(m, ports, placement, accept)

    def _load(
        self, m: Module, array: SystolicArray, reader: Any, placement: Placement, accept: Signal
    ) -> tuple[Sequence[Any], Any]:
        """Writes the earlier tokens' blocks; returns the write ports of new tokens, and whether they may be stored."""
        spec = self.spec
        loaded = Signal(range(spec.layers + 1))  # layers that are loaded, and whose new tokens are not all stored
        m.d.sync += loaded.eq(loaded + self.loaded - (placement.stored & placement.order.payload.last))
        m.d.comb += self.released.eq(delay(m, "released", reader.read, spec.array.read_delay, control=True))
        return merge_blocks(m, spec.blocks, array, self.earlier, accept), loaded != 0

    def _replay(self, m: Module, order: Any, array: SystolicArray) -> None:
        """Gathers the activations into words, and replays those of each head for every pass."""
        m.submodules.repeat = repeat = Repeat(self.spec.banks.located, self.spec.heads)
        m.submodules.buffer = buffer = ActivationBuffer(self.spec.buffer)
        connect(m, order, repeat.input)
        connect(m, self.activations, buffer.input)
        connect(m, buffer.offers, array.offers)
        length, times = self.bounds(repeat.output.payload)
        m.d.comb += [
            buffer.order.valid.eq(repeat.output.valid),
            buffer.order.payload.length.eq(length),
            buffer.order.payload.repeat.eq(times),
            repeat.output.ready.eq(buffer.order.ready),
            array.word.eq(buffer.word),
        ]

    def placement(self) -> Placement:
        """The placement of the stored features in the banks."""
        raise NotImplementedError

    def write(self, m: Module, ports: Sequence[Any], placement: Placement, accept: Signal) -> None:
        """Drives the columns' write ``ports`` in the cycle after ``accept``."""
        raise NotImplementedError

    def bounds(self, order: Any) -> tuple[Any, Any]:
        """How many words a head's activations have, and how often they are read."""
        raise NotImplementedError
