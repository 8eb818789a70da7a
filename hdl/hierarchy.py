"""Placing a component in a design: in a simulation the component, in an emission a reference to its Verilog module."""

from typing import Any

from amaranth.lib import wiring

__all__ = ["place"]


def place(platform: Any, component: wiring.Component) -> Any:
    """The submodule to add for ``component``.

    Amaranth does not merge equal submodules. So an emitter (a platform with a method ``instance``) writes every
    distinct component once and refers to it. For any other platform the component itself is the submodule.
    """
    instance = getattr(platform, "instance", None)
    return component if instance is None else instance(component)
