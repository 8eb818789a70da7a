"""Delays and trees of registers, of which the pipelines that never stall consist."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

__all__ = ["KEEP", "advance", "delay", "registered_tree", "tree_levels", "tree_registers"]

KEEP = {"keep": "true"}
"""The attribute of registers that a synthesiser must not merge with equal ones."""


def advance(m: Module, counter: Signal, period: int, go: Value) -> None:
    """Counts from 0 to ``period`` - 1 and starts again at 0; one step in each cycle in which ``go`` is high."""
    with m.If(go):
        m.d.sync += counter.eq(Mux(counter == period - 1, 0, counter + 1))


def delay(m: Module, name: str, value: Any, cycles: int, *, control: bool = False) -> Any:
    """``value`` (a signal, expression or view), delayed by ``cycles``. ``control``: a reset clears the registers."""
    for step in range(cycles):
        register = Signal(value.shape(), name=f"{name}_after{step + 1}", reset_less=not control)
        m.d.sync += register.eq(value)
        value = register
    return value


def tree_levels(count: int, fan_in: int) -> int:
    """Cycles of a `registered_tree` over ``count`` values."""
    levels = 0
    while count > 1:
        count, levels = -(-count // fan_in), levels + 1
    return levels


def tree_registers(count: int, fan_in: int) -> int:
    """Registers of a `registered_tree` over ``count`` values."""
    registers = 0
    while count > 1:
        count = -(-count // fan_in)
        registers += count
    return registers


def registered_tree(
    m: Module, name: str, values: Sequence[Any], operation: Callable[[Any, Any], Any], *, fan_in: int
) -> Any:
    """All ``values`` combined by ``operation``, up to ``fan_in`` between registers, after `tree_levels` cycles."""
    level = 0
    while len(values) > 1:
        combined = []
        for i in range(0, len(values), fan_in):
            result = reduce(operation, values[i : i + fan_in])
            register = Signal(result.shape(), name=f"{name}_level{level}_{i // fan_in}", reset_less=True)
            m.d.sync += register.eq(result)
            combined.append(register)
        values, level = combined, level + 1
    return values[0]
