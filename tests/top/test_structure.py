"""The emitted Verilog as tools see it: clean, whole, and with short paths between registers."""

import pytest

from hdl.perf.spec import PipelineSpec
from hdl.top.emitter import PRIMITIVE_DEFINE
from hdl.top.pipeline import Pipeline
from sim.paths import additions, longest_paths, multiplications
from sim.verilator import WAIVERS, lint

from .designs import ODD, TINY
from .sources import emitted

DESIGNS = pytest.mark.parametrize("spec", [TINY, ODD], ids=["tiny", "odd"])


@DESIGNS
def test_verilator_has_no_warning(spec: PipelineSpec) -> None:
    assert lint(emitted(Pipeline, spec, "pipeline"), "pipeline", waivers=WAIVERS) == []


@DESIGNS
def test_paths_are_short_and_nothing_loops_or_latches(spec: PipelineSpec) -> None:
    sources = emitted(Pipeline, spec, "pipeline")  # Yosys checks hierarchy, drivers, latches and loops as well
    assert PRIMITIVE_DEFINE in "".join(sources.values())
    assert max(path.weight for path in longest_paths(sources, "pipeline", multiplications).values()) <= 1
    assert max(path.weight for path in longest_paths(sources, "pipeline", additions).values()) <= 3
