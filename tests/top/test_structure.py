"""The emitted Verilog as tools see it: clean, whole, and with short paths between registers."""

from hdl.top.emitter import PRIMITIVE_DEFINE
from hdl.top.encoder_pipeline import Pipeline
from sim.paths import additions, longest_paths, multiplications
from sim.verilator import WAIVERS, lint

from .designs import ODD
from .sources import emitted


def test_verilator_has_no_warning() -> None:
    assert lint(emitted(Pipeline, ODD, "pipeline"), "pipeline", waivers=WAIVERS) == []


def test_paths_are_short_and_nothing_loops_or_latches() -> None:
    sources = emitted(Pipeline, ODD, "pipeline")  # Yosys checks hierarchy, drivers, latches and loops as well
    assert PRIMITIVE_DEFINE in "".join(sources.values())
    assert max(path.weight for path in longest_paths(sources, "pipeline", multiplications).values()) <= 1
    assert max(path.weight for path in longest_paths(sources, "pipeline", additions).values()) <= 3
