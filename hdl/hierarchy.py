"""Placing a component in a design: itself in a simulation, a reference to its own Verilog module in an emission."""

from typing import Any

from amaranth.lib import wiring

__all__ = ["place"]


def place(platform: Any, component: wiring.Component) -> Any:
    """What to add as a submodule for ``component``.

    Amaranth does not merge equal submodules, so an emitter (a platform with a method ``instance``) writes every
    distinct component once and refers to it; for any other platform the component itself is the submodule.
    """
    instance = getattr(platform, "instance", None)
    return component if instance is None else instance(component)
