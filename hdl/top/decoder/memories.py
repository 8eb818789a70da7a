"""Keys and values in off-chip memory: what loads and stores them in a decoder's pipeline."""

from typing import Any, NamedTuple

from amaranth.hdl import Module

from ...kernels.kvahead import LoadOrders
from ...kernels.kvload import Load
from ...kernels.kvstore import Store
from ...perf.geometry.decoder_spec import DecoderSpec
from ...stream import connect
from ..graph import GraphComposition

__all__ = ["CacheMemory", "attach", "memories"]


class CacheMemory(NamedTuple):
    """What says what to load, what loads and what stores keys, or values."""

    ahead: LoadOrders
    load: Load
    store: Store


def memories(parts: GraphComposition, spec: DecoderSpec) -> dict[str, CacheMemory]:
    """Adds loaders and storers, by the name of their memory; none where keys and values lie on chip."""
    kinds = {"ahead": LoadOrders, "load": Load, "store": Store}
    return {
        name: CacheMemory(*(parts.add(f"{role}_{name}", kind(one)) for role, kind in kinds.items()))
        for name, one in spec.memories.items()
    }


def attach(parts: GraphComposition, pipeline: Any, name: str, memory: CacheMemory, unit: Any) -> None:
    """Connects the loader and the storer of keys or values with their orders, with the ``unit`` of attention that reads
    them, and with the memory channels of ``pipeline``."""
    m: Module = parts.m
    ahead, load, store = memory
    parts.order(f"ahead_{name}", ahead.runs, "restart", "blocks")
    parts.order(f"store_{name}", store.order, "layer", "tile", "rows", "last")
    connect(m, ahead.orders, load.order)
    m.d.comb += [unit.loaded.eq(load.loaded), load.released.eq(unit.released), ahead.kept.eq(store.kept)]
    channels = {
        role: getattr(pipeline, f"{name}_{role}") for role in ("requests", "data", "writes", "written", "acknowledged")
    }
    for i in range(load.spec.channels):
        connect(m, load.blocks[i], unit.earlier[i])
        connect(m, load.requests[i], channels["requests"][i])
        connect(m, channels["data"][i], load.data[i])
        connect(m, store.writes[i], channels["writes"][i])
        connect(m, store.written[i], channels["written"][i])
        connect(m, channels["acknowledged"][i], store.acknowledged[i])
