"""Keys and values in off-chip memory: what loads and stores them in a decoder's pipeline."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module

from ...kernels.kvload import Load
from ...kernels.kvstore import Store
from ...perf.builtdecoder import BuiltDecoderSpec
from ...stream import StreamBuffer, connect
from ..attention import Attention
from ..composition import Composition

__all__ = ["Memory", "attach", "memories", "settled"]


class Memory(NamedTuple):
    """What loads and what stores keys, or values."""

    load: Load
    store: Store


def memories(parts: Composition, spec: BuiltDecoderSpec) -> dict[str, Memory]:
    """Adds loaders and storers, by the name of their memory; none where keys and values lie on chip."""
    return {
        name: Memory(parts.add(f"load_{name}", Load(one)), parts.add(f"store_{name}", Store(one)))
        for name, one in spec.memories.items()
    }


def settled(parts: Composition, found: dict[str, Memory], runs: Any) -> Any:
    """The runs, each when memory holds the keys and values of all before it."""
    if not found:
        return runs
    gate = parts.add("settled_runs", StreamBuffer(runs.payload.shape()))
    ready = Cat(memory.store.settled for memory in found.values()).all()
    parts.m.d.comb += [
        gate.input.payload.eq(runs.payload),
        gate.input.valid.eq(runs.valid & ready),
        runs.ready.eq(gate.input.ready & ready),
    ]
    return gate.output


def attach(parts: Composition, pipeline: Any, found: dict[str, Memory], units: Attention) -> None:
    """Connects loaders and storers with their orders, with attention, and with the memory channels of ``pipeline``."""
    if not found:
        return
    m: Module = parts.m
    for (name, (load, store)), unit, tap in zip(found.items(), (units.scores, units.sums), units.taps, strict=True):
        parts.order(f"load_{name}", load.order, "layer", "earlier")
        parts.order(f"store_{name}", store.order, "layer", "tile", "rows")
        connect(m, tap, store.tiles)
        m.d.comb += [unit.loaded.eq(load.loaded), load.released.eq(unit.released)]
        channels = {
            role: getattr(pipeline, f"{name}_{role}")
            for role in ("requests", "data", "writes", "written", "acknowledged")
        }
        for i in range(load.spec.channels):
            connect(m, load.blocks[i], unit.earlier[i])
            connect(m, load.requests[i], channels["requests"][i])
            connect(m, channels["data"][i], load.data[i])
            connect(m, store.writes[i], channels["writes"][i])
            connect(m, store.written[i], channels["written"][i])
            connect(m, channels["acknowledged"][i], store.acknowledged[i])
