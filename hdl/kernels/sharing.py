"""Arrays that work on one product: `Distribute` sends its row to all of them, `Collect` joins their sums.

Both work in two modes, which a level selects. The level changes only while nothing is under way, and a cycle or more
before the next beat comes. Apart: each array computes a product of its own, and data passes through. Shared: an order
names the product, its row goes to all arrays, and its sums come from the arrays in turn (`SharedColumnsSpec`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import KEEP, advance
from ..stream import SLICE_BITS, StreamBuffer, buffered, connect, pieces, tile
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
        # A number of a product drives up to five LUTs for each bit.
        spec, cuts = self.spec, pieces(len(Value.cast(self.arrays[0].payload)), SLICE_BITS // 4)
        order = Chosen(m, self.order, len(cuts))
        shared = level(m, "shared", self.shared, len(spec.arrays) * len(cuts))
        apart = iter(shared[1:])
        buffers = [StreamBuffer(self.arrays[0].payload.shape()) for _ in spec.arrays]
        ready = Signal()
        go = Signal()
        row_ends = Signal()
        beat = Signal(range(spec.max_inputs // spec.lanes))
        beats = Array(product.inputs // spec.lanes - 1 for product in spec.products)
        m.d.comb += [
            ready.eq(shared[0] & order.active & Cat(buffer.input.ready for buffer in buffers).all()),
            go.eq(ready & Array(source.valid for source in self.sources)[order.value]),
            row_ends.eq(beat == beats[order.value]),
            order.ends.eq(go & row_ends),
        ]
        with m.If(go):
            m.d.sync += beat.eq(Mux(row_ends, 0, beat + 1))
        rows = [Value.cast(source.payload) for source in self.sources]
        chosen = Cat(Array(row[cut] for row in rows)[copy] for cut, copy in zip(cuts, order.copies, strict=True))
        for i, buffer in enumerate(buffers):
            m.submodules[f"buffer_{i}"] = buffer
            m.d.comb += buffer.input.valid.eq(Mux(shared[0], go, self.sources[i].valid))
            for cut in cuts:
                m.d.comb += Value.cast(buffer.input.payload)[cut].eq(Mux(next(apart), chosen[cut], rows[i][cut]))
            connect(m, buffer.output, self.arrays[i])
        for i, source in enumerate(self.sources):
            own = buffers[i].input.ready if i < len(buffers) else 0
            m.d.comb += source.ready.eq(Mux(shared[0], ready & (order.value == i), own))
        return m


class Chosen:
    """The present order of a stream of numbers, in registers: its ``value``, and ``copies`` of it for wide choices.

    ``active``: there is one. ``ends`` is driven by the reader: the order is done in this cycle.
    """

    def __init__(self, m: Module, orders: Any, copies: int):
        waiting = buffered(m, "orders", orders)
        shape = waiting.payload.shape()
        self.active, self.ends = Signal(name="active"), Signal(name="order_ends")
        self.value = Signal(shape, name="order_value")
        self.copies = [Signal(shape, name=f"order_copy{copy}", attrs=KEEP) for copy in range(copies)]
        take = self.ends | ~self.active
        m.d.comb += waiting.ready.eq(take)
        with m.If(take):
            m.d.sync += self.active.eq(waiting.valid)
            m.d.sync += [register.eq(waiting.payload) for register in (self.value, *self.copies)]


def level(m: Module, name: str, value: Value, copies: int) -> list[Signal]:
    """A level in a register, and as many copies of this register."""
    registers = [Signal(name=f"{name}_{copy}", attrs=KEEP) for copy in range(copies + 1)]
    m.d.sync += [register.eq(value) for register in registers]
    return registers


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
        spec, cuts = self.spec, pieces(len(Value.cast(self.arrays[0].payload)))
        order = Chosen(m, self.order, 0)
        inputs = [self._buffer(m, f"input_{i}") for i in range(len(spec.arrays))]
        outputs = [self._buffer(m, f"output_{p}") for p in range(len(spec.products))]
        for buffer, source in zip(inputs, self.arrays, strict=True):
            connect(m, source, buffer.input)
        for buffer, sink in zip(outputs, self.outputs, strict=True):
            connect(m, buffer.output, sink)
        go = Signal()
        keep = Signal()
        # The level may end with the last sums that are kept; the padding after them must still be dropped.
        count = len(inputs) * len(cuts)
        shared = level(m, "shared", self.shared, count)
        begun = [Signal(name=f"begun_{copy}", attrs=KEEP) for copy in range(count + 1)]
        together, *selects = (a | b for a, b in zip(shared, begun, strict=True))
        with m.If(go):
            m.d.sync += [register.eq(~order.ends) for register in begun]
        turns = self._count(m, order, go, keep, len(cuts))
        m.d.comb += go.eq(
            together
            & order.active
            & Array(buffer.output.valid for buffer in inputs)[turns[0]]
            & (Array(buffer.input.ready for buffer in outputs)[order.value] | ~keep)
        )
        sums = [Value.cast(buffer.output.payload) for buffer in inputs]
        chosen = Cat(Array(one[cut] for one in sums)[turn] for cut, turn in zip(cuts, turns[1:], strict=True))
        apart = iter(selects)
        for p, buffer in enumerate(outputs):
            own = inputs[p].output if p < len(inputs) else None
            valid = go & keep & (order.value == p)
            m.d.comb += buffer.input.valid.eq(Mux(together, valid, own.valid) if own else valid & together)
            for cut in cuts:
                found = Mux(next(apart), chosen[cut], sums[p][cut]) if own else chosen[cut]
                m.d.comb += Value.cast(buffer.input.payload)[cut].eq(found)
        for i, buffer in enumerate(inputs):
            m.d.comb += buffer.output.ready.eq(Mux(together, go & (turns[0] == i), outputs[i].input.ready))
        return m

    def _buffer(self, m: Module, name: str) -> StreamBuffer:
        m.submodules[name] = buffer = StreamBuffer(self.arrays[0].payload.shape())
        return buffer

    def _count(self, m: Module, order: Chosen, go: Signal, keep: Signal, copies: int) -> list[Signal]:
        """Counts beats; drives ``keep``: the next beat is no padding. Returns the array whose beat comes next, and
        copies of it."""
        spec = self.spec
        turns = [Signal(range(len(spec.chains)), name=f"turn_{copy}", attrs=KEEP) for copy in range(copies + 1)]
        turn = turns[0]
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
            last.eq(sent == Array(product.outputs // spec.lanes - 1 for product in spec.products)[order.value]),
            keep.eq(~all_sent),
            order.ends.eq(go & round_ends & (all_sent | last)),
        ]
        with m.If(go):
            m.d.sync += beat.eq(Mux(turn_ends, 0, beat + 1))
            with m.If(order.ends):
                m.d.sync += [sent.eq(0), all_sent.eq(0)]
            with m.Elif(last):
                m.d.sync += all_sent.eq(1)
            with m.Else():
                m.d.sync += sent.eq(sent + 1)
        for register in turns:
            advance(m, register, len(spec.chains), go & turn_ends)
        return turns
