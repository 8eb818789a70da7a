"""The control logic of two small designs keeps the limits of timing, except for the failures that are listed.

It takes minutes to map a whole design. So the modules with the most handshakes are mapped, one of each kind, and all
other modules are black boxes. ``python -m bench.timing`` maps whole designs.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from amaranth.lib import wiring

from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.emitter import VerilogModule
from hdl.top.encoder_pipeline import Pipeline
from sim.mapping import map_modules
from sim.timing import analyse
from sim.timing_gate import changes, known, worst

from .decoder.designs import FAR
from .designs import ODD
from .sources import emitted

KNOWN = Path(__file__).with_name("timing_known.json")

ENCODER = ("pipeline", "control_1", "entry_1", "exit_1", "part_split_1", "load_channel_1", "linear_2", "requantise_5")
DECODER = (
    "sequencer_1", "layer_orders_1", "tile_orders_1", "product_orders_1", "sections_1", "segments_1", "load_orders_1",
    "loop_1", "leave_1", "distribute_1", "read_arbiter_1", "fetch_1",
)  # fmt: skip


def modules_of(design: type[wiring.Component], spec: PipelineSpec, top: str) -> dict[str, VerilogModule]:
    """The emitted modules of a design."""
    texts = {file.removesuffix(".v"): text for file, text in emitted(design, spec, top).items()}
    return {
        name: VerilogModule(
            name, re.sub(r"_\d+$", "", name), None, text, Counter(set(re.findall(r"^  (\w+) ", text, re.M)) & {*texts})
        )
        for name, text in texts.items()
    }


def gate(modules: dict[str, VerilogModule], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The figures of these modules that exceed a limit; all other modules are black boxes."""
    chosen = {name: modules[name] for name in names}
    below = {child: modules[child] for one in chosen.values() for child in one.instances}
    netlists = map_modules({**below, **chosen}, names=names, fastest=True, processes=1)
    timing = analyse(netlists, names[0], black_boxes=modules.keys() - {*names})
    return worst(timing, {name: module.kind for name, module in modules.items()})


def test_an_encoder_has_only_known_failures() -> None:
    assert changes(gate(modules_of(Pipeline, ODD, "pipeline"), ENCODER), known(KNOWN, "encoder ODD")) == []


def test_a_decoder_has_only_known_failures() -> None:
    assert changes(gate(modules_of(DecoderPipeline, FAR, "decoder"), DECODER), known(KNOWN, "decoder FAR")) == []
