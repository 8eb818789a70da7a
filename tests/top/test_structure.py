"""The emitted Verilog as tools see it: without a warning."""

from hdl.top.encoder_pipeline import Pipeline
from sim.verilator import WAIVERS, lint

from .designs import ODD
from .sources import emitted


def test_verilator_has_no_warning() -> None:
    assert lint(emitted(Pipeline, ODD, "pipeline"), "pipeline", waivers=WAIVERS) == []
