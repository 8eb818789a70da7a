"""A decoder that carries out requests."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring

from ...card.answers import AnswerWriter
from ...card.session import Flags
from ...hierarchy import place
from ...kernels.fetch import Fetch
from ...kernels.tokensampler import TokenSampler
from ...stream import connect
from ..decoder.decoder_pipeline import DecoderPipeline
from .generation import Generation
from .kernel_spec import KernelSpec
from .work import connect_host, pipeline_stream, work_members

__all__ = ["DecoderWork"]


class DecoderWork(wiring.Component):
    """The pipeline of a decoder, and the units between it and the requests. Members: `work_members`."""

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        super().__init__(work_members(spec))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        parts: dict[str, Any] = {
            "pipeline": DecoderPipeline(spec.decoder),
            "generation": Generation(spec),
            "sampler": TokenSampler(spec.sampler),
            "request": Fetch(spec.request),
            "writer": AnswerWriter(),
        }
        for name, part in parts.items():
            m.submodules[name] = place(platform, part)
        pipeline, generation, sampler, request, writer = parts.values()
        given = self.arguments
        numbers = ("tokens", "generate", "candidates", "stop", "temperature")
        m.d.comb += [generation.arguments[name].eq(getattr(given, name)) for name in numbers]
        m.d.comb += [
            generation.arguments.restart.eq(given.flags[Flags.RESTART]),
            generation.arguments.tell.eq(given.flags[Flags.CANDIDATES]),
            generation.start.eq(self.start),
            generation.written.eq(writer.idle),
            writer.begin.eq(self.start),
            self.ended.eq(generation.ended),
            self.code.eq(generation.code),
            self.made.eq(writer.records),
            pipeline.outputs.ready.eq(1),  # no command asks for a trace
        ]
        for name in ("how", "candidates"):
            connect(m, getattr(generation, name), getattr(sampler, name))
        connect(m, sampler.drawn, generation.drawn)
        connect(m, generation.order, request.order)
        connect_host(m, self, request, writer)
        connect(m, request.data, generation.beats)
        connect(m, generation.answers, writer.answers)
        for name in ("commands", "ids"):
            connect(m, getattr(generation, name), getattr(pipeline, name))
        for name in ("results", "status"):
            connect(m, getattr(pipeline, name), getattr(generation, name))
        self._memory(m, pipeline)
        return m

    def _memory(self, m: Module, pipeline: DecoderPipeline) -> None:
        """Connects the pipeline's memory channels."""
        for port in self.spec.ports[1:]:
            for role in ("requests", "writes", "written") if port.writes else ("requests",):
                connect(m, pipeline_stream(pipeline, port, f"_{role}"), getattr(self, f"{port.name}_{role}"))
            for role in ("data", "acknowledged") if port.writes else ("data",):
                connect(m, getattr(self, f"{port.name}_{role}"), pipeline_stream(pipeline, port, f"_{role}"))
