"""Emission of Verilog: every distinct component once, as a module of its own.

The emitter is the platform of the elaboration. Where a design places a component (`hdl.hierarchy.place`), it gets an
instance of that component's module; the module is made when a component of that type and spec is seen first.
"""

import gc
import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib import wiring

from .reset_tree import ResetPins, pipe_resets

__all__ = ["PRIMITIVE_DEFINE", "Emitter", "VerilogModule"]

PRIMITIVE_DEFINE = "SPATIAL_DSP48E2"
"""The one define: set, the emitted Verilog instantiates DSP48E2; not set, their behavioural twins of equal latency."""

HEADER = "Written by spatial-llm; any change here is lost at the next emission."

WIDTH = 118
"""Columns of a module's header."""


@dataclass
class VerilogModule:
    """One emitted module: its name, the component's type and spec, its text, how often it instantiates which others,
    and the comment above it."""

    name: str
    kind: str
    spec: Any
    text: str = ""
    instances: Counter[str] = field(default_factory=Counter)
    header: str = ""


class Emitter:
    """Collects modules; `instance` is what `place` calls, `emit` makes the whole design's Verilog."""

    dsp48e2 = False

    def __init__(self) -> None:
        self.modules: dict[str, VerilogModule] = {}
        self._names: dict[Any, str] = {}
        self._rtlil: dict[str, str] = {}
        self._clocked: dict[str, set[str]] = {}
        self._resets: dict[str, ResetPins] = {}
        self._parents: list[VerilogModule] = []

    def instance(self, component: wiring.Component) -> Instance:
        """An instance of the component's module, connected to the component's own members."""
        name = self._module(component)
        if self._parents:
            self._parents[-1].instances[name] += 1
        clocks = {"clk": ClockSignal(), "rst": ResetSignal()}
        ports = {f"i_{port}": clocks[port] for port in sorted(self._clocked[name])}
        for path, member, value in component.signature.flatten(component):
            direction = "i" if member.flow == wiring.In else "o"
            ports[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
        return Instance(name, **ports)

    def emit(self, component: wiring.Component, name: str) -> dict[str, str]:
        """The Verilog of ``component`` as module ``name`` and of everything below it, a text for each file."""
        return self.emit_all({name: component})

    def emit_all(self, components: Mapping[str, wiring.Component]) -> dict[str, str]:
        """The Verilog of several components, as modules of these names, that share the modules below them."""
        with garbage_collected_seldom():
            for name, component in components.items():
                self._module(component, name)
        verilog = self._convert("".join(self._rtlil.values()))
        for module in self.modules.values():
            module.text = module.header + self._text(module.name, verilog)
        return {f"{module.name}.v": module.text for module in self.modules.values()}

    def _module(self, component: wiring.Component, name: str | None = None) -> str:
        """The name of the component's module; makes it where it is new."""
        spec = getattr(component, "spec", None)
        if name is None and spec is None and not getattr(component, "primitive", False):
            raise TypeError(f"a placed component must have a spec that tells it from others, not none as {component!r}")
        key = (type(component), spec)
        component._MustUse__used = True  # its module stands for it
        if name is None and key in self._names:
            return self._names[key]
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(component).__name__).lower()
        if name is None:
            alike = sum(module.kind == kind for module in self.modules.values())
            name = f"{kind}_{alike + 1}"
        module = VerilogModule(name, kind, spec, header=header_of(component))
        self._names[key] = name
        self._parents.append(module)
        texts, pins = zip(*(pipe_resets(text, self._resets) for text in self._build(component, name)), strict=True)
        self._resets[name] = max(pins, key=lambda one: one.loads)
        self._parents.pop()
        self.modules[name] = module
        self._rtlil[name] = "".join(texts)
        self._clocked[name] = set(re.findall(r"^  wire (?:width 1 )?input \d+\s+\\(clk|rst)$", texts[0], re.MULTILINE))
        return name

    def _build(self, component: wiring.Component, name: str) -> list[str]:
        """RTLIL of a component; of one with a primitive, both ways."""
        if not getattr(component, "primitive", False):
            return [self._convert_rtlil(component, name)]
        twin = self._convert_rtlil(component, f"{name}__twin")
        self.dsp48e2 = True
        try:
            return [twin, self._convert_rtlil(component, f"{name}__primitive")]
        finally:
            self.dsp48e2 = False

    def _convert_rtlil(self, component: wiring.Component, name: str) -> str:
        text = rtlil.convert(component, name=name, platform=self, emit_src=False)
        text = re.sub(
            r"^(module |  cell )\\(\S+)", lambda found: found[1] + "\\" + found[2].replace(".", "__"), text, flags=re.M
        )
        # RAMs have no contents at the start; Amaranth would write a zero for every word.
        text = re.sub(
            r"^  cell \$meminit_v2 \S+\n(?:    .*\n)*?    connect \\DATA \d+'0+\n(?:    .*\n)*?  end\n",
            "",
            text,
            flags=re.M,
        )
        return re.sub(r"^module .*?^end\n", lambda module: without_aliases(module[0]), text, flags=re.M | re.S)

    @staticmethod
    def _convert(text: str) -> dict[str, str]:
        """Verilog of all RTLIL modules, by name."""
        yosys = find_yosys(lambda version: version >= (0, 40))
        kept = "-remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding"
        script = [
            f"read_rtlil <<rtlil\n{text}\nrtlil", "proc -nomux -norom", "memory_collect",
            f"attrmap {kept}", f"attrmap -modattr {kept}", "write_verilog -norename",
        ]  # fmt: skip
        verilog = yosys.run(["-q", "-"], "\n".join(script), ignore_warnings=True)
        bodies = re.findall(r"^(?:\(\*.*\*\)\n)*module (\w+)\(.*?^endmodule\n", verilog, flags=re.M | re.S)
        texts = re.findall(r"^(?:\(\*.*\*\)\n)*module \w+\(.*?^endmodule\n", verilog, flags=re.M | re.S)
        return dict(zip(bodies, texts, strict=True))

    @staticmethod
    def _text(name: str, verilog: dict[str, str]) -> str:
        """A module and what is nested in it, or its two forms behind the define."""
        if name in verilog:
            nested = sorted(other for other in verilog if other.startswith(f"{name}__"))
            return "\n".join(verilog[one] for one in [name, *nested])
        primitive, twin = (
            re.sub(rf"\b{name}__{form}\b", name, verilog[f"{name}__{form}"]) for form in ("primitive", "twin")
        )
        return f"`ifdef {PRIMITIVE_DEFINE}\n{primitive}`else\n{twin}`endif\n"


def header_of(component: wiring.Component) -> str:
    """The comment above a module: what the component is, its spec, and the latency if the spec has a single one."""
    spec = getattr(component, "spec", None)
    latency = getattr(spec, "latency", None)
    about = inspect.cleandoc(type(component).__doc__ or "").split("\n\n")[0]
    lines = [HEADER, about]
    if spec is not None:
        lines.append(f"Spec: {spec!r}")
    if isinstance(latency, int):
        lines.append(f"{type(spec).__name__}.latency: {latency} cycles")
    texts = (
        fill(line, WIDTH, initial_indent="// ", subsequent_indent="//   ", break_long_words=False) for line in lines
    )
    return "\n".join(texts) + "\n"


@contextmanager
def garbage_collected_seldom() -> Iterator[None]:
    """Python looks for garbage after four million new objects, not 700: Amaranth, which makes many small ones, takes
    40 % less time. The objects take up to 0.5 GB."""
    before = gc.get_threshold()
    gc.set_threshold(4_000_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


WIRE = re.compile(r"^((?:  attribute .*\n)*)  wire width \d+ (?:signed )?(\\\S+)\n", flags=re.MULTILINE)
CONNECTION = re.compile(r"^ {0,2}connect (\\\S+) .*\n", flags=re.MULTILINE)
NAME = re.compile(r"[\\$][^\s:;]+")


def without_aliases(module: str) -> str:
    """RTLIL of a module without the wires that only name a part of another: one for every field of every layout."""
    while True:
        uses = Counter(NAME.findall(module))
        driven = set(CONNECTION.findall(module))
        unused = {name for _, name in WIRE.findall(module) if uses[name] == 2 and name in driven}
        if not unused:
            return module
        module = without(CONNECTION, 1, unused, without(WIRE, 2, unused, module))


def without(pattern: re.Pattern[str], group: int, names: set[str], text: str) -> str:
    """Text without the matches of a pattern whose group is one of the names."""
    return pattern.sub(lambda found: "" if found[group] in names else found[0], text)
