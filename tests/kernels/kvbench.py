"""Designs around the loader and the storer of keys and values, whose ports are all streams, for the tests."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.channel import CHANNEL_BITS, Request, Written
from hdl.kernels.kvahead import LoadOrders
from hdl.kernels.kvblocks import KvBlock
from hdl.kernels.kvload import Load
from hdl.kernels.kvmemory import KvMemorySpec
from hdl.kernels.kvstore import Store
from hdl.kernels.scores import Scores, ScoresSpec
from hdl.kernels.weightedsum import WeightedSums
from hdl.stream import connect

BEAT = unsigned(CHANNEL_BITS)


def connect_all(m: Module, sources: Any, sinks: Any) -> None:
    """Connects arrays of streams."""
    for source, sink in zip(sources, sinks, strict=True):
        connect(m, source, sink)


class LoadBench(wiring.Component):
    """A loader; ``released``: a beat for each layer that has been read."""

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.load_order)),
                "m_requests": Out(stream.Signature(Request)).array(spec.channels),
                "m_data": In(stream.Signature(BEAT)).array(spec.channels),
                "blocks": Out(stream.Signature(KvBlock(spec.unit.blocks))).array(spec.channels),
                "released": In(stream.Signature(1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.load = load = Load(self.spec)
        connect(m, self.order, load.order)
        for pair in ((load.requests, self.m_requests), (self.m_data, load.data), (load.blocks, self.blocks)):
            connect_all(m, *pair)
        held = Signal(range(self.spec.banks.banks + 1))  # layers that are loaded and not released
        m.d.comb += [self.released.ready.eq(held != 0), load.released.eq(self.released.valid & self.released.ready)]
        m.d.sync += held.eq(held + load.loaded - load.released)
        return m


class StoreBench(wiring.Component):
    """A storer; ``kept`` has a beat when memory holds all of a run."""

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        self.store = Store(spec)
        own = {name: self.store.signature.members[name] for name in ("order", "tiles")}
        super().__init__(
            own
            | {
                "m_writes": Out(stream.Signature(Request)).array(spec.channels),
                "m_written": Out(stream.Signature(Written)).array(spec.channels),
                "m_acknowledged": In(stream.Signature(1)).array(spec.channels),
                "kept": Out(stream.Signature(1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.store = store = self.store
        connect(m, self.order, store.order)
        connect(m, self.tiles, store.tiles)
        for pair in (
            (store.writes, self.m_writes),
            (store.written, self.m_written),
            (self.m_acknowledged, store.acknowledged),
        ):
            connect_all(m, *pair)
        with m.If(store.kept):
            m.d.sync += self.kept.valid.eq(1)
        return m


class Loaded(wiring.Component):
    """A unit of attention and its loader."""

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        self.unit = Scores(spec.unit) if isinstance(spec.unit, ScoresSpec) else WeightedSums(spec.unit)
        own = {name: self.unit.signature.members[name] for name in ("order", "stored", "activations", "sums")}
        super().__init__(
            own
            | {
                "layers": In(stream.Signature(spec.load_order)),
                "m_requests": Out(stream.Signature(Request)).array(spec.channels),
                "m_data": In(stream.Signature(BEAT)).array(spec.channels),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.load, m.submodules.unit = load, unit = Load(self.spec), self.unit
        connect(m, self.layers, load.order)
        for name in ("order", "stored", "activations"):
            connect(m, getattr(self, name), getattr(unit, name))
        connect(m, unit.sums, self.sums)
        for pair in ((load.requests, self.m_requests), (self.m_data, load.data), (load.blocks, unit.earlier)):
            connect_all(m, *pair)
        m.d.comb += [unit.loaded.eq(load.loaded), load.released.eq(unit.released)]
        return m


class AheadBench(wiring.Component):
    """What orders loads; ``kept``: a beat for each run that memory holds, taken when the layers of the run itself have
    been ordered."""

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "runs": In(stream.Signature(spec.run)),
                "kept": In(stream.Signature(1)),
                "orders": Out(stream.Signature(spec.load_order)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.ahead = ahead = LoadOrders(self.spec)
        connect(m, self.runs, ahead.runs)
        connect(m, ahead.orders, self.orders)
        ordered = Signal()
        ends = self.orders.valid & self.orders.ready & (self.orders.payload.layer == self.spec.layers - 1)
        m.d.comb += [self.kept.ready.eq(ordered), ahead.kept.eq(self.kept.valid & ordered)]
        with m.If(ends):
            m.d.sync += ordered.eq(1)
        with m.Elif(ahead.kept):
            m.d.sync += ordered.eq(0)
        return m
