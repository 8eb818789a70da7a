"""The manifest of an emission: the design, its device, its ports, its memory layout, cycles and resources, for JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from ..channel import BEAT_BYTES
from ..model.architecture import Graph
from ..perf.device import Device
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.parameter_blocks import ParameterBlock, padded
from ..perf.geometry.pipeline_spec import LINEAR_UNITS, PipelineSpec
from ..perf.schedule.encoder_schedule import counted_cycles, counted_layer_cycles
from ..resources import Resources
from ..version import GENERATOR, VERSION
from .emitter import PRIMITIVE_DEFINE, VerilogModule

__all__ = [
    "WEIGHT_ORDER",
    "blocks",
    "build_manifest",
    "cycles",
    "encoder_memory",
    "unit_cycles",
]


LENGTHS = (16, 32, 64, 128, 256, 384, 512)
"""Sequence lengths whose cycles the manifest gives; the longest is added."""

WEIGHT_ORDER = (
    "The weights of a product come in blocks of block_beats beats. A block holds block words of 64 bits for each RAM"
    " of its channel. Words count from the lowest bits of the first beat. Word n of block i, for n < block * rams, is"
    " word i * block + n // rams of RAM n % rams of the channel; the words after these are padding. RAM r of channel c"
    " is RAM c * rams + r of the unit, which is RAM column * cascades + cascade. Word pass * words + w of that RAM"
    " holds in byte k the int8 weight of output pass * columns + feature[column] and input (w * cascades + cascade) *"
    " 8 + k. Bytes of a RAM or an input that does not exist are 0."
)


def build_manifest(
    pipeline: wiring.Component,
    device: Device,
    model_name: str,
    modules: Mapping[str, VerilogModule],
    top: str,
    *,
    memory: Mapping[str, Any],
    cycles: Any,
) -> dict[str, Any]:
    """The contents of `manifest.json` for the pipeline of an encoder or a decoder.

    Args:
        pipeline: the hardware.
        device: the device that it is made for.
        model_name: the name of the model.
        modules: the emitted modules, by name.
        top: the name of the top module.
        memory: the memory layout, from `encoder_memory` or `decoder_memory`.
        cycles: the cycles, from `cycles` or `decoder_cycles`.
    """
    spec: PipelineSpec = pipeline.spec
    sizes = ("hidden", "heads", "kv_heads", "head_size", "intermediate", "max_length", "max_layers")
    network: dict[str, Any] = {name: getattr(spec, name) for name in sizes} | {"max_length": spec.positions}
    graphs = {name: getattr(spec, name) for name in ("layer", "head") if hasattr(spec, name)}
    network |= {name: operators(graph) for name, graph in graphs.items()}
    geometry = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in network}
    if isinstance(spec, DecoderSpec):
        geometry["weight_bits"] = {name: product.bits for name, product in spec.products.items()}
    shapes = {name: value._asdict() if hasattr(value, "_asdict") else value for name, value in geometry.items()}
    return {
        "generator": {"name": GENERATOR, "version": VERSION},
        "model": {"name": model_name, **network},
        "device": {"name": device.name, "board": device.board, "part": device.part, "clock_mhz": device.clock_mhz},
        "geometry": shapes,
        "verilog": {
            "top": top,
            "clock": "clk",
            "reset": "rst (synchronous, active high)",
            "dsp48e2_define": PRIMITIVE_DEFINE,
        },
        "ports": list(ports(pipeline)),
        "memory": {"beat_bytes": BEAT_BYTES, **memory},
        "cycles": cycles,
        "resources": resources(spec, device),
        "modules": instances(modules, top),
    }


def operators(graph: Graph) -> list[dict[str, Any]]:
    """The operators of a graph, each with its kind and its fields."""
    return [{"kind": type(operator).__name__} | asdict(operator) for operator in graph]


def encoder_memory(spec: PipelineSpec) -> dict[str, Any]:
    """The memory layout of an encoder."""
    return {"weights": weights(spec), "parameters": parameters(spec)}


def ports(pipeline: wiring.Component) -> Iterator[dict[str, Any]]:
    """Each stream of the top module: its Verilog signals, direction and payload layout, lowest bits first."""
    for path, port in streams(pipeline.signature.members):
        name = "__".join(map(str, path))
        shape = port.signature.members["payload"].shape
        yield {
            "stream": name,
            "direction": "in" if port.flow == In else "out",
            "signals": [f"{name}__{signal}" for signal in ("payload", "valid", "ready")],
            "payload_bits": Shape.cast(shape).width,
            "payload": layout(shape),
        }


def streams(members: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The streams of a signature with their paths; an array of streams gives one for each element."""
    for name, member in members.items():
        if not isinstance(member.signature, stream.Signature):
            raise TypeError(f"port {name} must be a stream, not {member}")
        if member.dimensions:
            (count,) = member.dimensions
            yield from (((*path, name, i), member) for i in range(count))
        else:
            yield (*path, name), member


def layout(shape: Any) -> dict[str, Any]:
    """The layout of a payload: the bits of a number, the elements of an array, or fields with their offsets in bits."""
    if isinstance(shape, data.ArrayLayout):
        return {"length": shape.length, "elements": layout(shape.elem_shape)}
    if isinstance(shape, data.StructLayout):
        return {"fields": {name: {"offset": field.offset, **layout(field.shape)} for name, field in shape}}
    shape = Shape.cast(shape)
    return {"bits": shape.width, "signed": shape.signed}


def weights(spec: PipelineSpec) -> dict[str, Any]:
    """The beats that a layer reads from each channel of weights, and the layout of the weights of each unit."""
    units = {}
    for name in LINEAR_UNITS:
        unit = spec.linear(name)
        units[name] = {
            "streams": [f"weights_{name}__{i}" for i in range(unit.channels)],
            "beats_a_layer": unit.layer_beats,
            "bytes_a_layer": unit.layer_beats * BEAT_BYTES,
            "outputs": unit.outputs,
            "inputs": unit.inputs,
            "columns": unit.columns,
            "cascades": unit.cascades,
            "rams": unit.channel_rams,
            "block": unit.loader.block,
            "block_beats": unit.loader.block_beats,
            "words": unit.words,
            "feature": [unit.array.feature(column) for column in range(unit.columns)],
        }
    return {"order": WEIGHT_ORDER, "units": units}


def parameters(spec: PipelineSpec) -> dict[str, Any]:
    """The parameter blocks of a layer, with their offsets in 64-bit words."""
    beats = spec.parameter_beats
    return {
        "stream": "parameters",
        "beats_a_layer": beats,
        "bytes_a_layer": beats * BEAT_BYTES,
        "word_bits": 64,
        "blocks": blocks(spec.parameters, spec.parameter_width),
    }


def blocks(given: Iterable[ParameterBlock], width: int) -> list[dict[str, Any]]:
    """Parameter blocks with their offsets in 64-bit words; each block begins at a multiple of ``width`` words."""
    found, offset = [], 0
    for block in given:
        found.append({"name": block.name, "offset": offset, "words": block.words})
        offset += padded(block, width)
    return found


def cycles(spec: PipelineSpec, device: Device) -> list[dict[str, Any]]:
    """Cycles for some sequence lengths, the longest last: of each unit for a tile, of a run, and of one more layer."""
    lengths = [length for length in LENGTHS if length < spec.max_length]
    found = []
    for tokens in (*lengths, spec.max_length):
        tile = unit_cycles(spec, tokens)
        run = counted_cycles(spec, tokens, spec.max_layers)
        found.append(
            {
                "tokens": tokens,
                "tile": tile,
                "layer_estimate": counted_layer_cycles(spec, tokens),
                "run_estimate": run,
                "run_estimate_ms": round(run / device.clock_mhz / 1000, 4),
            }
        )
    return found


def unit_cycles(spec: PipelineSpec, tokens: int) -> dict[str, int]:
    """The cycles of each unit for a tile of a sequence of ``tokens``; the largest number sets the pace."""
    return {name: unit.tile_cycles(tokens) for name, unit in spec.tile_units.items()} | spec.tile_cycles(tokens)


def resources(spec: PipelineSpec, device: Device) -> dict[str, Any]:
    """The resources of each unit, their total, and the share of the device."""
    units = {name: asdict(unit.resources) for name, unit in spec.units.items()}
    total = spec.resources
    return {
        "units": units | {"parameters": asdict(spec.parameter_resources)},
        "total": asdict(total),
        "device": asdict(device.resources),
        "share": share(total, device),
    }


def share(needed: Resources, device: Device) -> dict[str, float]:
    """The share of each resource of the device that is needed, 0 to 1."""
    return {name: round(getattr(needed, name) / count, 4) for name, count in asdict(device.resources).items()}


def instances(modules: Mapping[str, VerilogModule], top: str) -> dict[str, Any]:
    """The file, the kind and the number of instances of each module."""
    counts: Counter[str] = Counter()

    def count(name: str, times: int) -> None:
        counts[name] += times
        for child, number in modules[name].instances.items():
            count(child, times * number)

    count(top, 1)
    return {
        name: {"file": f"rtl/{name}.v", "kind": modules[name].kind, "instances": counts[name]}
        for name in sorted(modules)
    }
