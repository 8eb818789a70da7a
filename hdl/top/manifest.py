"""The manifest of an emission: the design, its device, its ports, its memory layout, cycles and resources, for JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from ..model.architecture import Graph
from ..perf.device import Device
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.workload import Workload
from ..resources import Resources
from ..version import GENERATOR, VERSION
from .emitter import VerilogModule
from .memory_layout import memory_layout
from .run_cycles import cycles

__all__ = ["build_manifest", "instances", "ports"]


def build_manifest(
    spec: PipelineSpec, device: Device, model_name: str, workload: Workload | None = None
) -> dict[str, Any]:
    """What `manifest.json` says of a pipeline in each flow.

    Args:
        spec: the pipeline.
        device: the device that it is made for.
        model_name: the name of the model.
        workload: what the pipeline was chosen for.
    """
    sizes = ("hidden", "heads", "kv_heads", "head_size", "intermediate", "max_length", "max_layers")
    network: dict[str, Any] = {name: getattr(spec, name) for name in sizes} | {"max_length": spec.positions}
    network |= {name: operators(section.graph) for name, section in spec.sections.items()}
    geometry: dict[str, Any] = {name: shape._asdict() for name, shape in spec.arrays.items()}
    own = (field.name for field in fields(spec) if field.name not in (*network, "arrays"))
    geometry |= {name: getattr(spec, name) for name in own}
    products = (product for section in spec.sections.values() for product in section.products)
    geometry["weight_bits"] = {product: spec.weight_bits[product] for product in products}
    return {
        "generator": {"name": GENERATOR, "version": VERSION},
        "model": {"name": model_name, **network},
        "device": {"name": device.name, "board": device.board, "part": device.part, "clock_mhz": device.clock_mhz},
        "geometry": geometry,
        "memory": memory_layout(spec),
        "cycles": cycles(spec, device, workload),
        "resources": resources(spec, device),
    }


def operators(graph: Graph) -> list[dict[str, Any]]:
    """The operators of a graph, each with its kind and its fields."""
    return [{"kind": type(operator).__name__} | asdict(operator) for operator in graph]


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
