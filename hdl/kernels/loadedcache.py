"""Causal attention with the KV cache off chip: two or more banks, which the layers take in turn.

While a layer is computed, a loader (`kvload`) brings the earlier tokens of the next layers into the banks after its
own. New tokens of a layer are stored when its earlier ones are loaded. A layer's bank is free when its last tile has
been read.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from .kvcache import CacheSpec

__all__ = ["LoadedCacheSpec"]


@dataclass(frozen=True, kw_only=True)
class LoadedCacheSpec(CacheSpec):
    """Banks for ``layers`` layers, fewer than the network has."""

    def next_bank(self, base: Value) -> Value:
        """The address of the bank after the one at ``base``."""
        return Mux(base == (self.banks - 1) * self.bank_stride, 0, base + self.bank_stride)

    @property
    def order(self) -> data.StructLayout:
        """That of `CacheSpec`, with ``last`` (the tile is its layer's last) in place of the layer."""
        return data.StructLayout(self.tile_order | {"last": unsigned(1)})

    @property
    def kept(self) -> tuple[str, ...]:
        return (*super().kept, "last")

    @property
    def scaled_fields(self) -> tuple[str, ...]:
        return (self.along,)

    def base(self, m: Module, order: Any) -> Value:
        base = Signal(self.address)
        with m.If(order.valid & order.ready & order.payload.last):
            m.d.sync += base.eq(self.next_bank(base))
        return base
