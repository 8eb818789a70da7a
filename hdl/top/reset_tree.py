"""The reset as a tree of registers: no register drives more than `MAX_LOADS` flip-flops and modules.

A single net would lead from the port ``rst`` to all flip-flops with a reset, all over the device. Here a module
registers its reset where it enters, if it leads to many flip-flops. So modules enter and leave the reset some cycles
after each other, at most `RESET_CYCLES`. The reset must be held for so long, and nothing may be offered for as long
after it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["RESET_CYCLES", "ResetPins", "pipe_resets"]

RESET_CYCLES = 16
"""Cycles for which ``rst`` must be high, and those after it before anything is offered."""

MAX_LOADS = 96
"""Flip-flops and modules that a register of the reset drives."""

_MODULE = re.compile(r"^module \\(\S+)\n.*?^end\n", re.MULTILINE | re.DOTALL)
_INPUT = re.compile(r"^  wire width 1 input \d+\s+\\rst\n", re.MULTILINE)
_USE = re.compile(r"^  process .*?^  end\n|^  cell \\(?P<module>\S+) .*?^  end\n", re.MULTILINE | re.DOTALL)
_SWITCH = re.compile(r"^    switch \\rst \[0\]\n(.*?)^    end\n", re.MULTILINE | re.DOTALL)
_ASSIGNED = re.compile(r"^ +assign \S+ (?:\[(\d+)(?::(\d+))?\] )?", re.MULTILINE)

_WIRE = """
  attribute \\keep "true"
  attribute \\init 1'0
  wire width 1 \\reset_{number}
"""

_CELL = """
  cell $dff $reset_{number}
    parameter \\WIDTH 1
    parameter \\CLK_POLARITY 1
    connect \\D \\rst [0]
    connect \\CLK \\clk [0]
    connect \\Q \\reset_{number}
  end
"""


@dataclass(frozen=True)
class ResetPins:
    """What the port ``rst`` of a module drives: ``loads``; and ``depth``: the registers on the longest way from it."""

    loads: int
    depth: int


def pipe_resets(text: str, placed: Mapping[str, ResetPins]) -> tuple[str, ResetPins]:
    """RTLIL of a component (its own module first, then those nested in it), with registers in its reset.

    ``placed``: the pins of the modules that it instantiates besides.

    Raises:
        ValueError: for a component in which a reset takes more than `RESET_CYCLES`.
    """
    modules = {found[1]: found[0] for found in _MODULE.finditer(text)}
    pins, piped = dict(placed), dict[str, str]()
    for name in _children_first(modules):
        piped[name], pins[name] = _pipe(modules[name], pins)
    own = pins[next(iter(modules))]
    if own.depth > RESET_CYCLES:
        raise ValueError(f"reset must reach all flip-flops in {RESET_CYCLES} cycles, not {own.depth}")
    return _MODULE.sub(lambda found: piped[found[1]], text), own


def _children_first(modules: Mapping[str, str]) -> Iterator[str]:
    """The names of modules, each after those that it instantiates."""
    done = set[str]()

    def visit(name: str) -> Iterator[str]:
        if name in modules and name not in done:
            done.add(name)
            for child in {found["module"]: None for found in _USE.finditer(modules[name]) if found["module"]}:
                yield from visit(child)
            yield name

    for name in modules:
        yield from visit(name)


def _loads(use: re.Match[str], pins: Mapping[str, ResetPins]) -> int:
    """The loads of the reset in a process or an instance."""
    if use["module"]:
        return pins[use["module"]].loads if "    connect \\rst \\rst [0]\n" in use[0] else 0
    bits = (_ASSIGNED.finditer(switch[1]) for switch in _SWITCH.finditer(use[0]))
    return sum(int(one[1] or 0) - int(one[2] or one[1] or 0) + 1 for found in bits for one in found)


def _pipe(module: str, pins: Mapping[str, ResetPins]) -> tuple[str, ResetPins]:
    """A module with registers of the reset, if it has many loads; and its pins."""
    uses = [*_USE.finditer(module)]
    loads = [_loads(use, pins) for use in uses]
    depth = max((pins[use["module"]].depth for use in uses if use["module"] in pins), default=0)
    total = sum(loads)
    if not _INPUT.search(module) or total <= MAX_LOADS // 4:
        return module, ResetPins(total, depth)
    driven: list[int] = []  # loads of each register
    counts = iter(loads)

    def register(use: re.Match[str]) -> str:
        count = next(counts)
        if count and (not driven or driven[-1] + count > MAX_LOADS):
            driven.append(0)
        if count:
            driven[-1] += count
        return use[0].replace("\\rst [0]", f"\\reset_{len(driven) - 1} [0]") if count else use[0]

    head, body = _USE.sub(register, module).split("\n", 1)
    wires, cells = ("".join(part.format(number=number) for number in range(len(driven))) for part in (_WIRE, _CELL))
    inside = body.removesuffix("end\n")
    return f"{head}\n{wires}{inside}{cells}end\n", ResetPins(len(driven), depth + 1)
