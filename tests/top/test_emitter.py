"""Emitted modules as a reader sees them: what each of them is, and names for its registers."""

import re

import pytest
from amaranth.lib import wiring

from hdl.kernels.layernorm import LayerNorm, LayerNormSpec
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.emitter import HEADER, header_of
from hdl.top.encoder_pipeline import Pipeline

from .decoder.designs import FAR, MIXED
from .designs import ODD
from .sources import emitted

SPEC = LayerNormSpec(rows=2, lanes=1, features=24)

DESIGNS = [(Pipeline, ODD), (DecoderPipeline, FAR), (DecoderPipeline, MIXED)]


def test_a_header_has_the_component_its_spec_and_its_latency() -> None:
    first, about, spec, latency = header_of(LayerNorm(SPEC)).splitlines()
    assert first == f"// {HEADER}"
    assert LayerNorm.__doc__ is not None
    assert about == f"// {LayerNorm.__doc__.splitlines()[0]}"
    assert spec == f"// Spec: {SPEC!r}"
    assert latency == f"// LayerNormSpec.latency: {SPEC.latency} cycles"


@pytest.mark.parametrize(("design", "spec"), DESIGNS, ids=["encoder", "loaded keys", "packed weights"])
def test_modules_have_headers_and_registers_have_names(design: type[wiring.Component], spec: PipelineSpec) -> None:
    for file, text in emitted(design, spec, "pipeline" if design is Pipeline else "decoder").items():
        comments = re.match(r"(//.*\n)+", text)
        assert comments is not None
        assert comments[0].startswith(f"// {HEADER}\n// ")
        assert len(comments[0].splitlines()) > 1, file
        assert not re.search(r"reg [^;]*\\\$signal", text), file
