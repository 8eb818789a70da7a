"""Occupancy over time of designs that are only estimated: a model of stages, drawn from their formulas."""

from collections.abc import Mapping
from math import ceil

from ...kernels.shared import weight_bytes
from ...model.architecture import Attention
from ...perf.designs.phase import Phase
from ...perf.designs.spatial_design import SpatialDesign
from ...perf.estimate import Estimate
from ...perf.geometry.decoder_layer_spec import DecoderLayerSpec
from ...perf.geometry.pipeline_spec import PipelineSpec
from .timeline import Span, Timeline, timeline

__all__ = ["MEMORY", "stage_timelines"]

MEMORY = "memory"
"""The row of off-chip memory."""


def stage_timelines(found: Estimate) -> tuple[Timeline, ...]:
    """A decoder's prompt, and its token."""
    design = found.design
    if isinstance(design, SpatialDesign) and isinstance(design.spec, DecoderLayerSpec):
        prompt = _ring(design.spec, found)
    else:
        prompt = _sequence(found, found.prefill, "The prompt, by stages")
    if found.decode is None:
        return (prompt,)
    return prompt, _sequence(found, found.decode, "A token of each sequence, by stages")


def _in_order(found: Estimate, stages: Mapping[str, int]) -> list[str]:
    """The stages of a layer in the order of the data, the row-wise units together at the end."""
    spec = found.design.spec
    units = spec.sections["layer"].units if isinstance(spec, PipelineSpec) else {}
    names = []
    for operator in found.network.layer:
        stage = "attention" if isinstance(operator, Attention) else operator.name
        names += [stage, *(unit.name for unit in units.get(operator.name, ()))]
    return [name for name in dict.fromkeys((*names, "rows")) if name in stages]


def _ring(spec: DecoderLayerSpec, found: Estimate) -> Timeline:
    """A prompt whose tiles follow each other around the loop, as `ring_cycles` counts them. A unit starts when the
    first tile reaches it, and takes one tile per pace. The row-wise units' cycles lie evenly between the arrays."""
    tokens, layers = found.prompt, found.network.layers
    tiles, cycles = ceil(tokens / spec.rows), spec.tile_cycles(tokens)
    pace = max(spec.row_cycles, *cycles.values())
    turn = max(tiles * pace, spec.tile_latency(tokens))
    between = spec.stream_cycles / len(spec.arrays)
    spans: dict[str, tuple[Span, ...]] = {}
    reached = 0.0
    for name in _in_order(found, cycles):
        starts = [(layer, layer * turn + reached + tile * pace) for layer in range(layers) for tile in range(tiles)]
        spans[name] = tuple(Span(start, start + cycles[name], layer) for layer, start in starts)
        if name in spec.arrays:  # the softmax streams beside the scores
            reached += cycles[name] + between
    end = found.prefill.cycles
    spans["head"] = (Span(end - spec.head_cycles(), end, layers),)
    note = (
        "A model of stages, not a schedule: each unit takes its average time for every tile, and the tiles follow "
        "at the pace of the slowest unit. Layers alternate in colour."
    )
    return timeline("The prompt, by stages", note, 0, end, spans, spans, exact=False)


def _sequence(found: Estimate, phase: Phase, title: str) -> Timeline:
    """A phase whose stages follow one another, layer by layer, the head last. Memory works ahead, beside them. The
    faster of both waits for the other; the waits are drawn evenly."""
    layers, design = found.network.layers, found.design
    memory = found.device.memory
    bytes_a_cycle = found.device.sustained(design.bandwidth(memory))
    end, layer = phase.cycles_at(bytes_a_cycle), sum(phase.stages.values())
    stretched = end / phase.cycles
    rows: dict[str, list[Span]] = {}
    reached = 0.0
    for name in _in_order(found, phase.stages):
        starts = [(each, (each * layer + reached) * stretched) for each in range(layers)]
        rows[name] = [Span(start, start + phase.stages[name], each) for each, start in starts]
        reached += phase.stages[name]
    rows["head"] = [
        Span(layers * layer * stretched, layers * layer * stretched + phase.cycles - layers * layer, layers)
    ]
    head = weight_bytes(found.network.head_weights, design.weight_bits) / bytes_a_cycle
    read = (phase.bytes / bytes_a_cycle - head) / layers
    slower = end / (layers * read + head)
    rows[MEMORY] = [Span(each * read * slower, (each * slower + 1) * read, each) for each in range(layers)]
    rows[MEMORY].append(Span(layers * read * slower, layers * read * slower + head, layers))
    decides = (
        "memory sets the time, and the units wait" if stretched > 1 else "the units set the time, and memory waits"
    )
    note = (
        "A model of stages, not a schedule. The stages follow one another; all row-wise units are drawn as one stage "
        f"at the end of a layer; waits are spread evenly. Here {decides}. Layers alternate in colour."
    )
    return timeline(title, note, 0, end, rows, rows, exact=False)
