"""An encoder that carries out requests."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring

from ...card.session import Flags
from ...hierarchy import place
from ...kernels.fetch import Fetch
from ...stream import Fork, connect
from ..control import RunOrder
from ..encoder_pipeline import Pipeline
from .kernel_spec import KernelSpec
from .texts import LayerReader, TextReader, TextWriter
from .work import connect_host, pipeline_stream, work_members

__all__ = ["EncoderWork"]


class EncoderWork(wiring.Component):
    """The pipeline of an encoder, the readers of its weights, and the units between it and the requests. Members:
    `work_members`."""

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        super().__init__(work_members(spec))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, given = self.spec, self.arguments
        image = [port for port in spec.ports if port.image]
        parts: dict[str, Any] = {
            "pipeline": Pipeline(spec.pipeline),
            "reader": TextReader(spec),
            "request": Fetch(spec.request),
            "writer": TextWriter(spec),
            **{f"layers_{port.name}": LayerReader(spec, port.beats // spec.pipeline.max_layers) for port in image},
        }
        for name, part in parts.items():
            m.submodules[name] = place(platform, part)
        pipeline, reader, request, writer, *readers = parts.values()
        m.submodules.runs = runs = Fork(RunOrder(spec.pipeline), 2 + len(readers))
        m.d.comb += [
            reader.texts.eq(given.texts),
            reader.layers.eq(given.layers),
            reader.trace.eq(given.flags[Flags.TRACE]),
            reader.start.eq(self.start),
            reader.written.eq(writer.idle),
            writer.begin.eq(self.start),
            self.ended.eq(reader.ended),
            self.code.eq(reader.code),
            self.made.eq(writer.tiles),
            Value.cast(pipeline.tokens.payload).eq(reader.tokens.payload),
            pipeline.tokens.valid.eq(reader.tokens.valid),
            reader.tokens.ready.eq(pipeline.tokens.ready),
            writer.outputs.payload.eq(Value.cast(pipeline.outputs.payload)),
            writer.outputs.valid.eq(pipeline.outputs.valid),
            pipeline.outputs.ready.eq(writer.outputs.ready),
        ]
        connect(m, reader.order, request.order)
        connect_host(m, self, request, writer)
        connect(m, request.data, reader.beats)
        connect(m, reader.runs, runs.input)
        for source, sink in zip(runs.outputs, (pipeline.run, writer.runs, *(one.runs for one in readers)), strict=True):
            connect(m, source, sink)
        for port, one in zip(image, readers, strict=True):
            connect(m, one.requests, getattr(self, f"{port.name}_requests"))
            connect(m, getattr(self, f"{port.name}_data"), one.response)
            connect(m, one.data, pipeline_stream(pipeline, port, ""))
        return m
