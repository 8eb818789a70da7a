"""A module after mapping: its ports, its cells and the names of its nets, as Yosys' JSON has them, without the rest."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["Bit", "Cell", "Netlist"]

Bit = int | str
"""A net of one bit by its number, or a constant by its value."""

_CONFIGURED = "DSP48E2"
"""The cell whose parameters decide whether a path leads through it."""


@dataclass(frozen=True)
class Cell:
    """An instance of a primitive or of another module: the bits at its pins."""

    name: str
    type: str
    inputs: dict[str, list[Bit]]
    outputs: dict[str, list[Bit]]
    registers: int = 0
    """For a DSP48E2, how many of its pipeline registers are in use."""


@dataclass(frozen=True)
class Netlist:
    """A mapped module. The bits of a port or pin have the lowest first."""

    name: str
    inputs: dict[str, list[Bit]]
    outputs: dict[str, list[Bit]]
    cells: list[Cell]
    nets: dict[str, list[Bit]]

    @classmethod
    def of(cls, name: str, module: dict[str, Any]) -> "Netlist":
        """From a module of Yosys' JSON."""
        ports: dict[str, dict[str, list[Bit]]] = {"input": {}, "output": {}}
        for port, described in module["ports"].items():
            ports[described["direction"]][port] = described["bits"]
        cells = [_cell(instance, cell) for instance, cell in module["cells"].items() if cell["type"] != "$scopeinfo"]
        nets = {net: one["bits"] for net, one in module["netnames"].items() if not one["hide_name"]}
        return cls(name, ports["input"], ports["output"], cells, nets)

    def write(self) -> str:
        """The text of a file."""
        cells = [[cell.name, cell.type, cell.inputs, cell.outputs, cell.registers] for cell in self.cells]
        return json.dumps([self.name, self.inputs, self.outputs, cells, self.nets], separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> "Netlist":
        """The inverse of `write`."""
        name, inputs, outputs, cells, nets = json.loads(text)
        return cls(name, inputs, outputs, [Cell(*cell) for cell in cells], nets)

    @property
    def counts(self) -> Counter[str]:
        """How many cells of each type."""
        return Counter(cell.type for cell in self.cells)

    @cached_property
    def names(self) -> dict[Bit, str]:
        """A name for each bit that has one: the shortest, and none that a program made up if there is another."""
        names: dict[Bit, str] = {}
        for net in sorted(self.nets, key=lambda net: ("$" in net, len(net), net)):
            bits = self.nets[net]
            for index, bit in enumerate(bits):
                names.setdefault(bit, f"{net}[{index}]" if len(bits) > 1 else net)
        return names


def _cell(name: str, cell: dict[str, Any]) -> Cell:
    pins: dict[str, dict[str, list[Bit]]] = {"input": {}, "output": {}}
    for pin, bits in cell["connections"].items():
        pins[cell["port_directions"][pin]][pin] = bits
    registers = 0
    if cell["type"] == _CONFIGURED:
        registers = sum(int(cell["parameters"].get(f"{one}REG", "0"), 2) for one in ("A", "B", "AD", "M", "P"))
    return Cell(name, cell["type"], pins["input"], pins["output"], registers)
