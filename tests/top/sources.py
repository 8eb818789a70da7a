"""The emitted Verilog of the designs that several tests simulate.

Its texts are in the cache of builds, because a test that is run by another worker needs them too, and an emission takes
as long as a simulation. A change of any module makes them anew.
"""

import hashlib
from functools import cache
from pathlib import Path

from amaranth.lib import wiring

from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.emitter import Emitter
from sim.cache import cached, key

ROOT = Path(__file__).parents[2]

EFFORT = "-O1"
"""The effort of the C++ compiler: than with -O0, a small decoder takes 4 to 6 s more to compile, and 4 to 10 s less for
each 100,000 cycles."""


@cache
def code() -> str:
    """Names the present text of the generator, and of the tests that change a design's specs."""
    files = sorted(path for folder in ("hdl", "tests/top") for path in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


class SharedEmitter:
    """Emits as `Emitter` does, and each design once: for commands that run with it in its place."""

    def emit(self, component: wiring.Component, name: str) -> dict[str, str]:
        """The Verilog of a component that has a spec."""
        return emitted(type(component), component.spec, name)


@cache
def emitted(design: type[wiring.Component], spec: PipelineSpec, name: str) -> dict[str, str]:
    """The Verilog of a ``design`` of ``spec`` as module ``name``, by file name."""

    def emit(folder: Path) -> None:
        for file, text in Emitter().emit(design(spec), name).items():
            (folder / file).write_text(text)

    kind = type(spec)
    folder = cached(
        "emitted", key([code(), design.__qualname__, kind.__module__, kind.__qualname__, repr(spec), name]), emit
    )
    return {path.name: path.read_text() for path in sorted(folder.glob("*.v"))}
