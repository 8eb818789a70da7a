"""Arrays that work on one product: `Distribute` sends its row to all of them, `Collect` joins their sums.

Both work in two modes, which a level selects; it changes only while nothing is under way. Apart: each array computes a
product of its own, and data passes through. Shared: an order names the product, its row goes to all arrays, and its
sums come from the arrays in turn (`SharedColumnsSpec`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import advance
from ..stream import StreamBuffer, connect, tile
from .arrayspec import ACTIVATION_BITS
from .linear import LinearSpec
from .shared import Product, SharedColumnsSpec, check_own, product_shares

__all__ = ["Collect", "Distribute", "share"]


def share(units: Sequence[LinearSpec], products: Sequence[Product]) -> tuple[tuple[LinearSpec, ...], SharedColumnsSpec]:
    """Linear units that also compute ``products`` together, and the spec of the hardware around them.

    The first products are the units' own; their bits are those of the units' weights in memory.

    Raises:
        ValueError: for units or products that cannot work together.
    """
    products = tuple(Product(*product) for product in products)
    check_own(len(units), len(products))
    shares = product_shares(tuple(unit.columns for unit in units), products)
    sharing = tuple(
        replace(unit, products=own, weight_bits=product.bits)
        for unit, own, product in zip(units, shares, products[: len(units)], strict=True)
    )
    return sharing, SharedColumnsSpec(
        arrays=tuple(unit.array for unit in sharing),
        block=1,
        max_inputs=max(product.inputs for product in products),
        products=products,
    )


class Distribute(wiring.Component):
    """Sends rows of activations to the arrays, one beat per cycle; `SharedColumnsSpec.distribute_latency`.

    Members:
        shared: level.
        order: stream; the number of a product, with ``shared``.
        sources[p]: tile streams of int8; the row of product p.
        arrays[i]: tile streams. Apart, each gets ``sources[i]``; shared, all get the row of the ordered product.
    """

    def __init__(self, spec: SharedColumnsSpec):
        self.spec = spec
        beat = stream.Signature(tile(spec.rows, spec.lanes, signed(ACTIVATION_BITS)))
        super().__init__(
            {
                "shared": In(1),
                "order": In(stream.Signature(spec.order)),
                "sources": In(beat).array(len(spec.products)),
                "arrays": Out(beat).array(len(spec.arrays)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, product = self.spec, self.order.payload
        buffers = [StreamBuffer(self.arrays[0].payload.shape()) for _ in spec.arrays]
        go = Signal()
        row_ends = Signal()
        beat = Signal(range(spec.max_inputs // spec.lanes))
        beats = Array(product.inputs // spec.lanes - 1 for product in spec.products)
        m.d.comb += [
            go.eq(
                self.order.valid
                & Array(source.valid for source in self.sources)[product]
                & Cat(buffer.input.ready for buffer in buffers).all()
            ),
            row_ends.eq(beat == beats[product]),
            self.order.ready.eq(self.shared & go & row_ends),
        ]
        with m.If(self.shared & go):
            m.d.sync += beat.eq(Mux(row_ends, 0, beat + 1))
        chosen = Array(Value.cast(source.payload) for source in self.sources)[product]
        for i, buffer in enumerate(buffers):
            m.submodules[f"buffer_{i}"] = buffer
            m.d.comb += [
                buffer.input.valid.eq(Mux(self.shared, go, self.sources[i].valid)),
                Value.cast(buffer.input.payload).eq(Mux(self.shared, chosen, Value.cast(self.sources[i].payload))),
            ]
            connect(m, buffer.output, self.arrays[i])
        for i, source in enumerate(self.sources):
            apart = buffers[i].input.ready if i < len(buffers) else 0
            m.d.comb += source.ready.eq(Mux(self.shared, go & (product == i), apart))
        return m


class Collect(wiring.Component):
    """Sends the sums of the arrays to the outputs, one beat per cycle; `SharedColumnsSpec.collect_latency`.

    Members:
        shared: level.
        order: stream; the number of a product, with ``shared``.
        arrays[i]: tile streams of sums.
        outputs[p]: tile streams; the sums of product p, features in order. Apart, each ``arrays[i]`` goes to
            ``outputs[i]``; shared, the beats of a round come from the arrays in turn, and padding is dropped.
    """

    def __init__(self, spec: SharedColumnsSpec):
        self.spec = spec
        beat = stream.Signature(tile(spec.rows, spec.lanes, signed(spec.sum_bits)))
        super().__init__(
            {
                "shared": In(1),
                "order": In(stream.Signature(spec.order)),
                "arrays": In(beat).array(len(spec.arrays)),
                "outputs": Out(beat).array(len(spec.products)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, product = self.spec, self.order.payload
        inputs = [self._buffer(m, f"input_{i}") for i in range(len(spec.arrays))]
        outputs = [self._buffer(m, f"output_{p}") for p in range(len(spec.products))]
        for buffer, source in zip(inputs, self.arrays, strict=True):
            connect(m, source, buffer.input)
        for buffer, sink in zip(outputs, self.outputs, strict=True):
            connect(m, buffer.output, sink)
        turn = Signal(range(len(inputs)))
        go = Signal()
        keep = Signal()
        # The level may end with the last sums that are kept; the padding after them must still be dropped.
        together = Signal()
        begun = Signal()
        m.d.comb += together.eq(self.shared | begun)
        with m.If(go):
            m.d.sync += begun.eq(~self.order.ready)
        self._count(m, turn, go, keep)
        m.d.comb += go.eq(
            together
            & self.order.valid
            & Array(buffer.output.valid for buffer in inputs)[turn]
            & (Array(buffer.input.ready for buffer in outputs)[product] | ~keep)
        )
        chosen = Array(Value.cast(buffer.output.payload) for buffer in inputs)[turn]
        for p, buffer in enumerate(outputs):
            own = inputs[p].output if p < len(inputs) else None
            m.d.comb += buffer.input.valid.eq(Mux(together, go & keep & (product == p), own.valid if own else 0))
            payload = Mux(together, chosen, Value.cast(own.payload)) if own else chosen
            m.d.comb += Value.cast(buffer.input.payload).eq(payload)
        for i, buffer in enumerate(inputs):
            m.d.comb += buffer.output.ready.eq(Mux(together, go & (turn == i), outputs[i].input.ready))
        return m

    def _buffer(self, m: Module, name: str) -> StreamBuffer:
        m.submodules[name] = buffer = StreamBuffer(self.arrays[0].payload.shape())
        return buffer

    def _count(self, m: Module, turn: Signal, go: Signal, keep: Signal) -> None:
        """Counts beats: drives ``turn``, the array whose beat comes next, and ``keep``, whether it is no padding."""
        spec = self.spec
        beat = Signal(range(max(spec.chains)))
        turn_ends = Signal()
        round_ends = Signal()
        # Beats of the product so far, and whether these are all: the rest of the round is padding.
        sent = Signal(range(spec.max_beats))
        all_sent = Signal()
        last = Signal()
        m.d.comb += [
            turn_ends.eq(beat == Array(chain - 1 for chain in spec.chains)[turn]),
            round_ends.eq(turn_ends & (turn == len(spec.chains) - 1)),
            last.eq(sent == Array(product.outputs // spec.lanes - 1 for product in spec.products)[self.order.payload]),
            keep.eq(~all_sent),
            self.order.ready.eq(go & round_ends & (all_sent | last)),
        ]
        with m.If(go):
            m.d.sync += beat.eq(Mux(turn_ends, 0, beat + 1))
            with m.If(self.order.ready):
                m.d.sync += [sent.eq(0), all_sent.eq(0)]
            with m.Elif(last):
                m.d.sync += all_sent.eq(1)
            with m.Else():
                m.d.sync += sent.eq(sent + 1)
        advance(m, turn, len(spec.chains), go & turn_ends)
