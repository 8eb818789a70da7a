"""The manifest of an emission: what was made, for what, how to feed it, what it takes and gives; values for JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from ..kernels.activation import ActivationSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..perf.device import Device
from ..perf.parameters import PARAMETER_WORDS_A_BEAT, ParameterBlock, padded
from ..perf.spec import LINEAR_UNITS, PipelineSpec
from ..resources import Resources
from .emitter import PRIMITIVE_DEFINE, VerilogModule

__all__ = [
    "GENERATOR",
    "VERSION",
    "WEIGHT_ORDER",
    "blocks",
    "build_manifest",
    "cycles",
    "encoder_memory",
    "unit_cycles",
]

GENERATOR, VERSION = "spatial-llm", "0.1.0"

BEAT_BYTES = 8 * PARAMETER_WORDS_A_BEAT

LENGTHS = (16, 32, 64, 128, 256, 384, 512)
"""Sequence lengths for which cycles are told, beside the longest."""

WEIGHT_ORDER = (
    "block_beats beats of a product bring block words to each of a channel's RAMs: part n of block i, of 64 bits,"
    " lowest first, is word i * block + n // rams of the channel's RAM n % rams if n < block * rams; that is the unit's"
    " RAM channel * rams + n % rams; RAM column * cascades + cascade has in word pass * words + w, in byte k, the int8"
    " weight of output pass * columns + feature[column] and input (w * cascades + cascade) * 8 + k; what lies beyond"
    " the last RAM or input is 0"
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
    """Everything that `manifest.json` tells of an encoder's or a decoder's pipeline, whose Verilog has these modules.

    ``memory``: what lies in it, and in which order; ``cycles``: what is told of them.
    """
    spec: PipelineSpec = pipeline.spec
    network = {name: getattr(spec, name) for name in ("hidden", "heads", "intermediate", "max_length", "max_layers")}
    geometry = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in network}
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


def encoder_memory(spec: PipelineSpec) -> dict[str, Any]:
    """What lies in an encoder's memory."""
    return {"weights": weights(spec), "parameters": parameters(spec)}


def ports(pipeline: wiring.Component) -> Iterator[dict[str, Any]]:
    """Every stream of the top: its signals in Verilog, its direction and its payload's layout, lowest bits first."""
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
    """The streams of a signature with their paths; of an array each."""
    for name, member in members.items():
        if not isinstance(member.signature, stream.Signature):
            raise TypeError(f"port {name} must be a stream, not {member}")
        if member.dimensions:
            (count,) = member.dimensions
            yield from (((*path, name, i), member) for i in range(count))
        else:
            yield (*path, name), member


def layout(shape: Any) -> dict[str, Any]:
    """A payload's layout: bits of a number, an array's elements, or fields with their offsets."""
    if isinstance(shape, data.ArrayLayout):
        return {"length": shape.length, "elements": layout(shape.elem_shape)}
    if isinstance(shape, data.StructLayout):
        return {"fields": {name: {"offset": field.offset, **layout(field.shape)} for name, field in shape}}
    shape = Shape.cast(shape)
    return {"bits": shape.width, "signed": shape.signed}


def weights(spec: PipelineSpec) -> dict[str, Any]:
    """What a layer takes of every channel of weights, and what there is to know of a unit to put them in order."""
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
    """The blocks of a layer's parameters with their offsets, in 64-bit words."""
    beats = spec.parameter_beats
    return {
        "stream": "parameters",
        "beats_a_layer": beats,
        "bytes_a_layer": beats * BEAT_BYTES,
        "word_bits": 64,
        "blocks": blocks(spec.parameters, spec.parameter_width),
    }


def blocks(given: Iterable[ParameterBlock], width: int) -> list[dict[str, Any]]:
    """Blocks of parameters with their offsets, in 64-bit words; each begins with a whole ``width`` of words."""
    found, offset = [], 0
    for block in given:
        found.append({"name": block.name, "offset": offset, "words": block.words})
        offset += padded(block, width)
    return found


def cycles(spec: PipelineSpec, device: Device) -> list[dict[str, Any]]:
    """For some lengths, the longest last: the cycles a tile of every unit, of a run, and of a layer more."""
    lengths = [length for length in LENGTHS if length < spec.max_length]
    found = []
    for tokens in (*lengths, spec.max_length):
        tile = unit_cycles(spec, tokens)
        run = spec.run_cycles(tokens, spec.max_layers)
        found.append(
            {
                "tokens": tokens,
                "tile": tile,
                "layer_estimate": spec.layer_cycles(tokens),
                "run_estimate": run,
                "run_estimate_ms": round(run / device.clock_mhz / 1000, 4),
            }
        )
    return found


def unit_cycles(spec: PipelineSpec, tokens: int) -> dict[str, int]:
    """The cycles a tile takes every unit that has them, for a sequence of ``tokens``; the largest sets the pace."""
    arrays = spec.tile_cycles(tokens)
    found = {}
    unit: Any
    for name, unit in spec.units.items():
        if name in arrays:
            found[name] = arrays[name]
        elif isinstance(unit, ResidualSpec):
            found[name] = unit.cycles(spec.tile_beats)
        elif isinstance(unit, (RowQuantiseSpec, RequantiseSpec, LayerNormSpec, ActivationSpec)):
            found[name] = unit.cycles()
    return found


def resources(spec: PipelineSpec, device: Device) -> dict[str, Any]:
    """What each unit takes, all of it, and the share of the device."""
    units = {name: asdict(unit.resources) for name, unit in spec.units.items()}
    total = spec.resources
    return {
        "units": units | {"parameters": asdict(spec.parameter_resources)},
        "total": asdict(total),
        "device": asdict(device.resources),
        "share": share(total, device),
    }


def share(needed: Resources, device: Device) -> dict[str, float]:
    """The part of the device's resources that is needed."""
    return {name: round(getattr(needed, name) / count, 4) for name, count in asdict(device.resources).items()}


def instances(modules: Mapping[str, VerilogModule], top: str) -> dict[str, Any]:
    """Every module's file, kind, and how often it stands in the design."""
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
