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

    def order(self, name: str, sink: Any, *fields: str, **constants: int) -> None:
        """Gives ``sink`` the named fields of a unit's order, in the order of its own fields."""
        source, payload = self.orders[name], sink.payload
        self.m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        if isinstance(payload, data.View):
            named = zip(payload.shape().members, fields, strict=True)
            for own, field in named:
                self.m.d.comb += payload[own].eq(constants[field] if field in constants else source.payload[field])
        else:
            self.m.d.comb += payload.eq(source.payload[fields[0]])

    def channels(self, block: str, sink: Any) -> None:
        """Gives ``sink`` the parameters of a block."""
        source = next(getattr(one, block) for one in self.parameters if hasattr(one, block))
        self.m.d.comb += [
            Value.cast(sink.payload).eq(Value.cast(source.payload)),
            sink.valid.eq(source.valid),
            source.ready.eq(sink.ready),
        ]
