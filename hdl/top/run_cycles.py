"""Cycles of runs of a pipeline, for some lengths: what the manifest and `describe` say of its speed."""

from typing import Any

from ..perf.device import Device
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.memory_timing import MemoryTiming
from ..perf.schedule.decoder_schedule import counted_decoder_cycles
from ..perf.schedule.encoder_schedule import counted_cycles, counted_layer_cycles
from ..perf.workload import Workload

__all__ = ["counted_runs", "cycles", "unit_cycles"]

LENGTHS = (16, 32, 64, 128, 256, 384, 512)
"""Lengths whose cycles the manifest gives, in tokens; the longest of the pipeline is added."""


def unit_cycles(spec: PipelineSpec, tokens: int) -> dict[str, int]:
    """The cycles of each unit for a tile of a sequence of ``tokens``; the largest number sets the pace."""
    return {name: unit.tile_cycles(tokens) for name, unit in spec.tile_units.items()} | spec.tile_cycles(tokens)


def counted_runs(spec: PipelineSpec, device: Device, tokens: int) -> dict[str, int]:
    """The cycles of the runs of a text of ``tokens``: of an encoder the whole run and one more layer; of a decoder a
    prompt, and the last token of the text after the others.

    The timing is that of the device's memory. A run is counted as if the refreshes of its channels began with it.
    """
    if not isinstance(spec, DecoderSpec):
        return {"run": counted_cycles(spec, tokens, spec.max_layers), "layer": counted_layer_cycles(spec, tokens)}
    timing = MemoryTiming.of_device(device)
    return {
        "prompt": counted_decoder_cycles(spec, tokens, 0, timing),
        "token": counted_decoder_cycles(spec, 1, tokens - 1, timing),
    }


def cycles(spec: PipelineSpec, device: Device, workload: Workload | None = None) -> list[dict[str, Any]]:
    """Cycles for some lengths, the longest last: of each unit for a tile, and of the runs. With a ``workload``, its
    prompt and the token in the middle of its output are among the lengths."""
    own = {workload.prompt, workload.prompt + workload.output // 2 + 1} if workload is not None else set()
    found = []
    for tokens in sorted({*(length for length in {*LENGTHS, *own} if length < spec.positions), spec.positions}):
        runs = counted_runs(spec, device, tokens)
        milliseconds = {f"{name}_estimate_ms": round(run / device.clock_mhz / 1000, 4) for name, run in runs.items()}
        estimates = {f"{name}_estimate": run for name, run in runs.items()}
        found.append({"tokens": tokens, "tile": unit_cycles(spec, tokens), **estimates, **milliseconds})
    return found
