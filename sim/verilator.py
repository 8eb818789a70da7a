"""Simulates a Verilog design through Verilator, at full size: whole arrays of beats in and out, all cycles in C++.

    design = build({"top.v": text}, "top", [StreamPort("input", "in", 32), StreamPort("output", "out", 16)])
    result = design.run({"input": beats}, {"output": 128})          # from reset
    with design.start() as simulation:                               # or step by step, on a live instance
        simulation.run({"weights": weights}, {})
        simulation.run({"tokens": tokens}, {"output": 128})

    with design.start([MemoryChannel("weights", contents)]) as simulation:   # which asks for its data: see sim.memory
        simulation.run({"tokens": tokens}, {"output": 128}).memory["weights"]

The design's ports are `clk`, `rst` (synchronous, active high) and streams; either of the two may be missing.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim import toolchain
from sim.cache import cached, key
from sim.memory import MemoryChannel
from sim.simulation import Inputs, Progress, Simulation
from sim.streams import RunResult, StreamPort

Sources = Sequence[Path] | Mapping[str, str]

WAIVERS = Path(__file__).with_name("waivers.vlt")
"""What the emitted Verilog is let off, with the reasons."""

DRIVER = Path(__file__).with_name("driver.cpp")
"""The C++ that runs any design."""

_ADAPTER = [Path(__file__).with_name(name) for name in ("verilated.cpp", "design.h", "streams.h")]
_PIN = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),(\d+)")


def build(
    sources: Sources,
    top: str,
    ports: Sequence[StreamPort],
    *,
    threads: int = 1,
    trace: bool = False,
    optimise: str = "-O2",
) -> "VerilatedDesign":
    """Compile module `top` of the Verilog `sources` (files, or texts by file name), or find it in the cache.

    `threads`: how many threads simulate one instance; 2 is worth it for large designs only. `trace`: whether runs can
    write waves. `optimise`: the compiler's effort; a short run is done sooner with -O0.
    Raises BuildError if Verilator or the compiler refuses, ValueError if a port is not what `ports` says.
    """
    texts = _texts(sources)
    flags = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "--threads", str(threads)]
    flags += ["--trace-vcd"] if trace else []
    adapter = {file.name: file.read_text() for file in _ADAPTER}
    driver = [DRIVER.read_text(), *(file.read_text() for file in sorted(DRIVER.parent.glob("*.h")))]
    described = [(port.name, port.direction, port.width) for port in ports]
    name = key([texts, top, described, flags, optimise, adapter, driver, toolchain.versions()])

    def compile_into(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            scratch = Path(place)
            toolchain.verilate(texts, top, scratch, flags)
            header = (scratch / f"{toolchain.PREFIX}.h").read_text()
            for file, text in {**adapter, "ports.inc": _port_list(header, top, ports)}.items():
                (scratch / file).write_text(text)
            toolchain.link(scratch, DRIVER, folder / "design.so", trace=trace, optimise=optimise)

    return VerilatedDesign(cached("verilated", name, compile_into) / "design.so", tuple(ports), trace)


def lint(
    sources: Sources, top: str, *, waivers: Path | None = None, defines: Sequence[str] = ()
) -> list[toolchain.LintWarning]:
    """What `verilator -Wall` says about module `top` of the sources, with `defines` defined.

    `waivers`: a Verilator configuration file with what is let off, such as `WAIVERS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        return toolchain.lint(_texts(sources), top, Path(folder), waivers=waivers, defines=defines)


def _texts(sources: Sources) -> dict[str, str]:
    if isinstance(sources, Mapping):
        return dict(sources)
    texts = {path.name: path.read_text() for path in sources}
    if len(texts) < len(sources):
        raise ValueError(f"source files must have different names, not {', '.join(path.name for path in sources)}")
    return texts


def _port_list(header: str, top: str, ports: Sequence[StreamPort]) -> str:
    """The text of ports.inc, from the header that Verilator wrote; raises ValueError if the ports do not agree."""
    pins = {}
    for direction, mangled, high, low in _PIN.findall(header):
        verilog = re.sub("__0([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), mangled)
        pins[verilog] = (direction.lower(), mangled, int(high) - int(low) + 1)
    roles = {"clk": "DESIGN_CLOCK", "rst": "DESIGN_RESET"}
    lines = [f"#define {role} {pin}" for pin, role in roles.items() if pins.pop(pin, None)]
    for port in ports:
        back = "in" if port.direction == "out" else "out"
        members = [("payload", port.direction, port.width), ("valid", port.direction, 1), ("ready", back, 1)]
        names = []
        for member, direction, width in members:
            pin = f"{port.name}__{member}"
            if pin not in pins:
                raise ValueError(f"module {top} must have a port {pin}; it has: {', '.join(sorted(pins))}")
            is_direction, mangled, is_width = pins.pop(pin)
            if (is_direction, is_width) != (direction, width):
                wanted, found = f"{direction}put of {width} bits", f"{is_direction}put of {is_width}"
                raise ValueError(f"port {pin} of module {top} must be an {wanted}, not an {found}")
            names.append(mangled)
        lines.append(f"PORT({'true' if port.direction == 'in' else 'false'}, {', '.join(names)})")
    if pins:
        raise ValueError(
            f"module {top} must have no ports but clk, rst and the streams; left over: {', '.join(sorted(pins))}"
        )
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class VerilatedDesign:
    """A compiled design: `library` is its shared library; see `build`."""

    library: Path
    ports: tuple[StreamPort, ...]
    trace: bool = False

    def start(self, memories: Sequence[MemoryChannel] = ()) -> Simulation:
        """A live instance, just reset, with memory channels bound to the ports that are named for them."""
        return Simulation(self.library, self.ports, trace=self.trace, memories=memories)

    def run(
        self,
        inputs: Inputs,
        expect: Mapping[str, int],
        *,
        memories: Sequence[MemoryChannel] = (),
        gaps: int | None = None,
        max_idle: int = 100_000,
        max_cycles: int | None = None,
        reset_at: int | None = None,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """One run of a fresh instance; see `Simulation.run`.

        `reset_at`: the cycle in which the design is reset; everything then begins again, and what came out is dropped.
        """
        with self.start(memories) as simulation:
            if reset_at is not None:
                simulation.run_cycles(inputs, expect, reset_at, gaps=gaps)
                simulation.reset()
            return simulation.run(
                inputs, expect, gaps=gaps, max_idle=max_idle, max_cycles=max_cycles, waves=waves, progress=progress
            )
