"""What composing a pipeline takes: kernels placed, orders and parameters brought to them."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import data

from ..hierarchy import place

__all__ = ["Composition"]


class Composition:
    """A module in the making, with its ``orders`` (streams by the name of their reader) and ``parameters`` (components
    that deal out blocks)."""

    orders: dict[str, Any]

    def __init__(self, platform: Any):
        self.m, self.platform = Module(), platform
        self.parameters: list[Any] = []

    def add(self, name: str, component: Any) -> Any:
        """Adds a component, a kernel as a module of its own; returns it."""
        is_kernel = hasattr(component, "spec")
        self.m.submodules[name] = place(self.platform, component) if is_kernel else component
        return component

    def order(self, name: str, sink: Any, *fields: str | int) -> None:
        """Fills the fields of ``sink``, one after the other, with fields of a reader's order or with constants."""
        source, payload = self.orders[name], sink.payload
        self.m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        own = [payload[member] for member in payload.shape().members] if isinstance(payload, data.View) else [payload]
        for target, field in zip(own, fields, strict=True):
            self.m.d.comb += target.eq(source.payload[field] if isinstance(field, str) else field)

    def channels(self, block: str, sink: Any) -> None:
        """Gives ``sink`` the parameters of a block."""
        source = next(getattr(one, block) for one in self.parameters if hasattr(one, block))
        self.m.d.comb += [
            Value.cast(sink.payload).eq(Value.cast(source.payload)),
            sink.valid.eq(source.valid),
            source.ready.eq(sink.ready),
        ]
