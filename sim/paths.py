"""The longest paths between registers of emitted Verilog: what a clock period has to hold.

    found = longest_paths(sources, "pipeline", additions)
    found["scores_1"].weight           # how many additions lie one behind the other in that module, at most

Words are looked at before they become LUTs, so a path tells what it does. Paths through several modules count whole:
each module is looked at once, and its parent takes what lies between ports, and between ports and registers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil, log
from typing import Any

from sim.yosys import PRIMITIVES, run_yosys

__all__ = ["Path", "additions", "levels", "longest_paths", "multiplications"]

_SCRIPT = (
    f"{PRIMITIVES}; hierarchy -check -top {{top}}; proc; select -assert-none t:$dlatch; "
    "opt; memory -nomap; opt_clean; check -assert; write_json netlist.json"
)
_REGISTERS = ("$dff", "$sdff", "$adff", "$aldff", "$dffsr")
_PRIMITIVES = ("DSP48E2",)
_BITWISE = {"$and": "and", "$or": "or", "$xor": "xor", "$xnor": "xnor", "$not": "not", "$mux": "select", "$pos": ""}
_ADDITIONS = {"$add": "+", "$sub": "-", "$neg": "negate", "$lt": "<", "$le": "<=", "$gt": ">", "$ge": ">="}
_SHIFTS = ("$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx")
_DATA = ("A", "B", "S")
_LUT_INPUTS = 6

Cell = dict[str, Any]
Weight = Callable[[Cell], int]
"""What a cell adds to a path that leads through it."""


def multiplications(cell: Cell) -> int:
    """Counts multiplications."""
    return int(cell["type"] == "$mul")


def additions(cell: Cell) -> int:
    """Counts additions, subtractions and comparisons: whatever takes a chain of carries."""
    return int(cell["type"] in _ADDITIONS)


def levels(cell: Cell) -> int:
    """Estimates levels of LUTs: a chain of carries counts two, a multiplier four; nothing is merged."""
    kind, bits = cell["type"], cell["connections"]
    if kind == "$mul":
        return 4
    if kind in _ADDITIONS:
        return 2
    if kind in _SHIFTS:
        return ceil(len(bits["B"]) / 2)
    if kind == "$pmux":
        return max(1, ceil(log(2 * len(bits["S"]), _LUT_INPUTS)))
    if kind in ("$eq", "$ne", "$logic_not", "$logic_and", "$logic_or") or kind.startswith("$reduce"):
        return max(1, ceil(log(max(2, sum(len(bits[port]) for port in ("A", "B") if port in bits)), _LUT_INPUTS)))
    return 0 if kind == "$pos" else 1


@dataclass(frozen=True)
class Path:
    """A way through logic: where it begins and ends, what it does on the way, and its weight."""

    weight: int
    steps: tuple[Any, ...] = ()
    """Nested pairs of the steps before and the last one."""

    def then(self, step: str, weight: int = 0) -> "Path":
        """The path with one more step."""
        return Path(self.weight + weight, (self.steps, step)) if step else self

    def and_then(self, other: "Path") -> "Path":
        """The path with another behind it."""
        joined = self
        for step in other.all_steps:
            joined = joined.then(step)
        return Path(self.weight + other.weight, joined.steps)

    @property
    def all_steps(self) -> list[str]:
        """The steps in order: the first names the source, the last the destination."""
        steps, rest = [], self.steps
        while rest:
            rest, step = rest
            steps.append(step)
        return steps[::-1]

    def __str__(self) -> str:
        return ", ".join(self.all_steps)


def longer(a: Path | None, b: Path) -> Path:
    """The one of greater weight."""
    return b if a is None or b.weight > a.weight else a


Arrivals = dict[str | None, Path]
"""The longest way to a bit from each input port that leads there, and from any register (None)."""


@dataclass
class _Summary:
    """What a parent must know of a module: ways from inputs to registers, from registers and inputs to outputs."""

    longest: Path | None = None
    setup: dict[str, Path] = field(default_factory=dict)
    outputs: dict[str, Arrivals] = field(default_factory=dict)


def longest_paths(sources: Mapping[str, str], top: str, weight: Weight) -> dict[str, Path]:
    """The path of the greatest weight in each module: of those whose both ends are known there, but not yet below it.

    Raises:
        BuildError: where Yosys refuses the Verilog, or finds a latch, a loop in a module, or what nothing drives.
        ValueError: for a combinational loop through several modules.
    """
    return paths_of(_netlist(tuple(sources.items()), top), weight)


@lru_cache(maxsize=1)
def _netlist(sources: tuple[tuple[str, str], ...], top: str) -> dict[str, Any]:
    """What Yosys reads of a design. The last one is kept, because several weights are asked of a design."""
    return json.loads(run_yosys(dict(sources), _SCRIPT.format(top=top), ["netlist.json"])["netlist.json"])


def paths_of(netlist: dict[str, Any], weight: Weight) -> dict[str, Path]:
    """`longest_paths` of a netlist that Yosys wrote."""
    modules = {name: m for name, m in netlist["modules"].items() if "blackbox" not in m["attributes"]}
    summaries: dict[str, _Summary] = {}

    def summary(name: str) -> _Summary:
        if name not in summaries:
            summaries[name] = _Module(name, modules[name], weight, summary, modules).summary()
        return summaries[name]

    found = {name: summary(name).longest for name in modules}
    return {name: path for name, path in found.items() if path is not None}


class _Module:
    """The search in one module."""

    def __init__(
        self,
        name: str,
        module: dict[str, Any],
        weight: Weight,
        summary: Callable[[str], _Summary],
        modules: Mapping[str, Any],
    ):
        self.name, self.module, self.weight, self.child, self.modules = name, module, weight, summary, modules
        self.arrivals: dict[int, Arrivals | None] = {}

    def summary(self) -> _Summary:
        """Everything about the module."""
        result = _Summary()
        for bits, rest in self._ends():
            for source, path in self._worst(bits).items():
                whole = path.and_then(rest)
                if source is None:
                    result.longest = longer(result.longest, whole)
                else:
                    result.setup[source] = longer(result.setup.get(source), whole)
        for port, described in self.module["ports"].items():
            if described["direction"] == "output":
                result.outputs[port] = self._worst(described["bits"])
        return result

    @cached_property
    def names(self) -> dict[int, str]:
        """A name for each bit, of those that a person gave rather than a program."""
        names: dict[int, str] = {}
        nets = sorted(self.module["netnames"].items(), key=lambda net: (net[1].get("hide_name", 0), "$" in net[0]))
        for name, net in nets:
            for bit in net["bits"]:
                names.setdefault(bit, name.lstrip("\\"))
        return names

    def _named(self, bits: list[Any]) -> str:
        wires = [bit for bit in bits if isinstance(bit, int)]
        return f"{self.name}.{self.names[wires[0]]}" if wires else self.name

    @cached_property
    def drivers(self) -> dict[int, tuple[str, Cell, str, int]]:
        """What drives each bit: cell, port of it, and which of the port's bits."""
        drivers = {}
        for name, cell in self.module["cells"].items():
            for port, direction in cell["port_directions"].items():
                if direction == "output":
                    for index, bit in enumerate(cell["connections"][port]):
                        drivers[bit] = (name, cell, port, index)
        return drivers

    @cached_property
    def inputs(self) -> dict[int, str]:
        """The input port of each bit that comes from outside."""
        ports = self.module["ports"].items()
        return {bit: port for port, one in ports if one["direction"] == "input" for bit in one["bits"]}

    def _worst(self, bits: list[Any]) -> Arrivals:
        """The longest ways to any of some bits."""
        worst: Arrivals = {}
        for bit in dict.fromkeys(bits):
            if isinstance(bit, int):
                for source, path in self._arrival(bit).items():
                    worst[source] = longer(worst.get(source), path)
        return worst

    def _arrival(self, bit: int) -> Arrivals:
        """The longest ways to a bit."""
        if bit not in self.arrivals:
            self.arrivals[bit] = None
            self.arrivals[bit] = self._reach(bit)
        found = self.arrivals[bit]
        if found is None:
            raise ValueError(f"combinational loop through {self._named([bit])}")
        return found

    def _reach(self, bit: int) -> Arrivals:
        if bit in self.inputs:
            return {self.inputs[bit]: Path(0)}
        if bit not in self.drivers:
            return {}
        _, cell, port, index = self.drivers[bit]
        kind, connections = cell["type"], cell["connections"]
        if kind in self.modules:
            return self._through(cell, port)
        if kind.startswith(_REGISTERS) or kind in _PRIMITIVES:
            return {None: Path(0, ((), self._named([bit])))}
        if kind == "$mem_v2":
            return self._read(cell, index)
        if kind in _BITWISE:
            data = [connections[name][index] for name in ("A", "B") if name in connections]
            arrivals = self._worst(data + connections.get("S", []))
            step = _BITWISE[kind]
        else:
            arrivals = self._worst([one for name in _DATA for one in connections.get(name, [])])
            operation = {"$mul": "*", "$eq": "==", "$ne": "!=", **_ADDITIONS}.get(kind, kind.lstrip("$"))
            step = f"{operation} {len(connections['Y'])} bits" if len(connections["Y"]) > 1 else operation
        added = self.weight(cell)
        return {source: path.then(step, added) for source, path in arrivals.items()}

    def _read(self, cell: Cell, index: int) -> Arrivals:
        """Through a RAM of LUTs, or from the register of another one."""
        reads, width = _number(cell, "RD_PORTS"), _number(cell, "WIDTH")
        port = index // width
        if _number(cell, "RD_CLK_ENABLE") >> port & 1:
            return {None: Path(0, ((), self._named(cell["connections"]["RD_DATA"])))}
        bits = len(cell["connections"]["RD_ADDR"]) // reads
        arrivals = self._worst(cell["connections"]["RD_ADDR"][port * bits : (port + 1) * bits])
        return {source: path.then("RAM of LUTs", self.weight(cell)) for source, path in arrivals.items()}

    def _through(self, cell: Cell, port: str) -> Arrivals:
        """Out of another module: from its registers, and from whatever drives its inputs."""
        arrivals: Arrivals = {}
        for inner, rest in self.child(cell["type"]).outputs[port].items():
            before: Arrivals = {None: Path(0)} if inner is None else self._worst(cell["connections"][inner])
            for source, path in before.items():
                arrivals[source] = longer(arrivals.get(source), path.and_then(rest))
        return arrivals

    def _ends(self) -> Iterator[tuple[list[Any], Path]]:
        """Bits at which paths end, with the way that is left to the register, if that is in another module."""
        for cell in self.module["cells"].values():
            kind, connections = cell["type"], cell["connections"]
            if kind in self.modules:
                for port, rest in self.child(kind).setup.items():
                    yield connections[port], rest
            elif kind.startswith(_REGISTERS):
                ends = [bit for port in connections if port not in ("Q", "CLK") for bit in connections[port]]
                yield ends, Path(0, ((), f"to {self._named(connections['Q'])}"))
            elif kind in _PRIMITIVES or kind == "$mem_v2":
                ports = [port for port, direction in cell["port_directions"].items() if direction == "input"]
                # An address that is read at once is on the way, not at the end.
                passes = kind == "$mem_v2" and not _number(cell, "RD_CLK_ENABLE")
                ends = [bit for port in ports if not (passes and port == "RD_ADDR") for bit in connections[port]]
                yield ends, Path(0, ((), f"to a {'RAM' if kind == '$mem_v2' else kind} of {self.name}"))


def _number(cell: Cell, parameter: str) -> int:
    """A parameter, which Yosys writes in binary."""
    return int(cell["parameters"][parameter], 2)
