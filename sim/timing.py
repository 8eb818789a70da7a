"""The timing of a mapped design: levels of logic between registers, fan-out, and paths from port to port.

    found = analyse(map_modules(emitter.modules), "pipeline")
    found["scores_1"].worst.deepest    # the path of the most levels among those that are complete in that module

Each module is looked at once. Its parent joins what lies between ports and registers, so a path through several modules
counts whole, and so does a net. Yosys maps each module alone: a synthesiser that flattens the design may merge logic
across ports, and find fewer levels. A path through a module counts from every bit of its input port.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .netlist import Bit, Cell, Netlist
from .primitives import CLOCK_TO_OUTPUT, SETUP, arcs, clock_to_output, net_delay, role, setup

__all__ = ["Loads", "ModuleTiming", "TimingPath", "analyse"]


class TimingPath(NamedTuple):
    """A path through logic: its levels of LUTs, its delay in ns, and its steps as nested pairs."""

    levels: int
    delay: float
    steps: Any = None

    def then(self, other: "TimingPath", net: float = 0.0) -> "TimingPath":
        """This path, a net's delay, and the other path."""
        return TimingPath(self.levels + other.levels, self.delay + net + other.delay, (self.steps, other.steps))

    def __str__(self) -> str:
        return " -> ".join(_flat(self.steps))


def _flat(steps: Any) -> Iterator[str]:
    if isinstance(steps, str):
        yield steps
    elif steps is not None:
        yield from _flat(steps[0])
        yield from _flat(steps[1])


class Worst(NamedTuple):
    """Of several paths, the one of the most levels and the one of the greatest delay."""

    deepest: TimingPath
    slowest: TimingPath

    @classmethod
    def of(cls, path: TimingPath) -> "Worst":
        """Of one path."""
        return cls(path, path)

    def or_(self, other: "Worst | None") -> "Worst":
        """Of these paths and others."""
        if other is None:
            return self
        deepest = self.deepest if self.deepest[:2] >= other.deepest[:2] else other.deepest
        slowest = self.slowest if self.slowest.delay >= other.slowest.delay else other.slowest
        return Worst(deepest, slowest)

    def then(self, other: "Worst", net: float = 0.0) -> "Worst":
        """Of these paths, each followed by a net and by one of the others."""
        deepest = self.deepest.then(other.deepest, net)
        alike = self.deepest is self.slowest and other.deepest is other.slowest
        return Worst(deepest, deepest if alike else self.slowest.then(other.slowest, net))


@dataclass
class Loads:
    """How many pins a net drives, by their role."""

    data: int = 0
    enable: int = 0
    reset: int = 0
    clock: int = 0

    def count(self, role: str, pins: int = 1) -> None:
        """Adds pins of a role."""
        setattr(self, role, getattr(self, role) + pins)

    def add(self, other: "Loads") -> None:
        """Adds the loads of the part of a net that lies in another module."""
        for one in ("data", "enable", "reset", "clock"):
            self.count(one, getattr(other, one))

    @property
    def all(self) -> int:
        """All pins but those of clocks."""
        return self.data + self.enable + self.reset


@dataclass
class ModuleTiming:
    """What is known of a module: of paths and nets, those that are complete in it, but not in a module below it."""

    worst: Worst | None = None
    nets: dict[str, Loads] = field(default_factory=dict)
    """The loads of the nets by their names, those in modules below included."""

    through: dict[tuple[str, str], TimingPath] = field(default_factory=dict)
    """The deepest path from an input port to an output port, for each pair of ports that logic connects."""


Place = tuple[str, int]
"""A port, and which of its bits."""


@dataclass
class _Summary(ModuleTiming):
    """What the parent of a module must know besides, for each bit of the ports."""

    launched: dict[Place, Worst] = field(default_factory=dict)
    captured: dict[Place, Worst] = field(default_factory=dict)
    loads: dict[Place, Loads] = field(default_factory=dict)
    arcs: dict[Place, dict[str, Worst]] = field(default_factory=dict)


def analyse(netlists: Mapping[str, Netlist], top: str, black_boxes: Collection[str] = ()) -> dict[str, ModuleTiming]:
    """The timing of the modules of a design. A black box is a module that registers its inputs and its outputs.

    Raises:
        ValueError: for a combinational loop, or a cell that is not known.
    """
    boxes = frozenset(black_boxes)
    summaries: dict[str, _Summary] = {}

    def summary(name: str) -> _Summary:
        if name not in summaries:
            summaries[name] = _Module(netlists[name], netlists, boxes, summary).summary(is_top=name == top)
        return summaries[name]

    return {name: summary(name) for name in netlists}


class _Edge(NamedTuple):
    """A path from a bit, or to it. ``inside`` a slice, the net to it takes no time."""

    bit: Bit
    path: Worst
    inside: bool = False


class _Module:
    """The search in one module."""

    def __init__(
        self,
        netlist: Netlist,
        netlists: Mapping[str, Netlist],
        black_boxes: Collection[str],
        child: Callable[[str], _Summary],
    ):
        self.netlist, self.child = netlist, child
        self.loads: defaultdict[Bit, Loads] = defaultdict(Loads)
        self.inputs = {bit: port for port, bits in netlist.inputs.items() for bit in bits}
        self.before: defaultdict[Bit, list[_Edge]] = defaultdict(list)
        self.after: defaultdict[Bit, list[_Edge]] = defaultdict(list)
        self.starts: dict[Bit, Worst] = {}
        self.ends: defaultdict[Bit, list[Worst]] = defaultdict(list)
        # What may lie before a chain of carries in one slice: an inverter is a LUT too.
        self.luts = {cell.outputs["O"][0] for cell in netlist.cells if cell.type.startswith(("LUT", "INV"))}
        self.arrivals: dict[Bit, dict[str, Worst] | None] = {}
        self.departures: dict[Bit, Worst | None] = {}
        for cell in netlist.cells:
            if cell.type in netlists:
                self._instance(cell)
            elif cell.type in black_boxes:
                self._black_box(cell)
            else:
                self._primitive(cell)

    def _named(self, bit: Bit) -> str:
        return f"{self.netlist.name}.{self.netlist.names.get(bit, f'net {bit}')}"

    def _connect(self, source: Bit, target: Bit, path: Worst, *, inside: bool = False) -> None:
        if isinstance(source, int):
            self.before[target].append(_Edge(source, path, inside))
            self.after[source].append(_Edge(target, path, inside))

    def _primitive(self, cell: Cell) -> None:
        first = next((bits[0] for bits in cell.outputs.values() if bits), 0)
        own = self.netlist.names.get(first) or cell.name
        for pin, bits in cell.inputs.items():
            what, before_clock = role(cell, pin), setup(cell, pin)
            end = None if before_clock is None else Worst.of(
                TimingPath(0, before_clock, f"{pin} of {cell.type} {self.netlist.name}.{own}")
            )  # fmt: skip
            for bit in bits:
                if isinstance(bit, int):
                    self.loads[bit].count(what)
                    if end is not None:
                        self.ends[bit].append(end)
        launch = clock_to_output(cell)
        for pin, bits in cell.outputs.items():
            for index, bit in enumerate(bits):
                name = self.netlist.names.get(bit)
                if launch is not None:
                    self.starts[bit] = Worst.of(TimingPath(0, launch, f"{self.netlist.name}.{name or cell.name}"))
                step = f"{cell.type} ({name})" if name else cell.type
                for arc in arcs(cell, pin, index, self.luts.__contains__):
                    self._connect(arc.source, bit, Worst.of(TimingPath(arc.levels, arc.delay, step)), inside=arc.inside)

    def _black_box(self, cell: Cell) -> None:
        end = Worst.of(TimingPath(0, SETUP, f"{cell.type} {self.netlist.name}.{cell.name}"))
        for port, bits in cell.inputs.items():
            for bit in bits:
                if isinstance(bit, int):
                    self.loads[bit].count(role(cell, port))
                    self.ends[bit].append(end)
        for bits in cell.outputs.values():
            for bit in bits:
                self.starts[bit] = Worst.of(TimingPath(0, CLOCK_TO_OUTPUT["FD"], self._named(bit)))

    def _instance(self, cell: Cell) -> None:
        below = self.child(cell.type)
        for port, bits in [*cell.inputs.items(), *cell.outputs.items()]:
            for index, bit in enumerate(bits):
                place = (port, index)
                if place in below.loads and isinstance(bit, int):
                    self.loads[bit].add(below.loads[place])
                if place in below.captured and isinstance(bit, int):
                    self.ends[bit].append(below.captured[place])
                if place in below.launched:
                    self.starts[bit] = below.launched[place]
                for source, path in below.arcs.get(place, {}).items():
                    for one in cell.inputs[source]:
                        self._connect(one, bit, path)

    def _net(self, bit: Bit) -> float:
        """The delay of a net, where its driver is known; the parent adds that of another."""
        return 0.0 if bit in self.inputs else net_delay(self.loads[bit].all)

    def _arrival(self, bit: Bit) -> dict[str, Worst]:
        """The worst paths to a bit from each input port, and from any register ("")."""
        if bit not in self.arrivals:
            self.arrivals[bit] = None
            found: dict[str, Worst] = {"": self.starts[bit]} if bit in self.starts else {}
            if bit in self.inputs:
                found[self.inputs[bit]] = Worst.of(TimingPath(0, 0.0))
            for edge in self.before.get(bit, ()):
                net = 0.0 if edge.inside else self._net(edge.bit)
                for source, path in self._arrival(edge.bit).items():
                    found[source] = path.then(edge.path, net).or_(found.get(source))
            self.arrivals[bit] = found
        known = self.arrivals[bit]
        if known is None:
            raise ValueError(f"combinational loop through {self._named(bit)}")
        return known

    def _departure(self, bit: Bit) -> Worst | None:
        """The worst path from a bit to a register, with the net of the bit if its driver is known."""
        if bit not in self.departures:
            found: Worst | None = None
            within, net = Worst.of(TimingPath(0, 0.0)), Worst.of(TimingPath(0, self._net(bit)))
            for end in self.ends.get(bit, ()):
                found = net.then(end).or_(found)
            for edge in self.after.get(bit, ()):
                rest = self._departure(edge.bit)
                if rest is not None:
                    found = (within if edge.inside else net).then(edge.path).then(rest).or_(found)
            self.departures[bit] = found
        return self.departures[bit]

    def summary(self, *, is_top: bool) -> _Summary:
        """Everything about the module."""
        result = _Summary()
        for bit, ends in self.ends.items():
            start = self._arrival(bit).get("")
            if start is not None:
                for end in ends:
                    result.worst = start.then(end, self._net(bit)).or_(result.worst)
        ports = {**self.netlist.inputs, **self.netlist.outputs}
        outside = set() if is_top else {bit for bits in ports.values() for bit in bits}
        result.nets = {self._named(bit): loads for bit, loads in self.loads.items() if bit not in outside}
        for port, bits in self.netlist.inputs.items():
            for index, bit in enumerate(bits):
                if rest := self._departure(bit):
                    result.captured[port, index] = rest
        for port, bits in self.netlist.outputs.items():
            for index, bit in enumerate(bits):
                paths = {source: path for source, path in self._arrival(bit).items() if isinstance(bit, int)}
                if "" in paths:
                    result.launched[port, index] = paths.pop("")
                result.arcs[port, index] = paths
                for source, path in paths.items():
                    known = result.through.get((source, port))
                    if known is None or path.deepest[:2] > known[:2]:
                        result.through[source, port] = path.deepest
        result.loads = {
            (port, index): self.loads[bit]
            for port, bits in ports.items()
            for index, bit in enumerate(bits)
            if bit in self.loads
        }
        return result
