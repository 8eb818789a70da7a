"""Quantised networks in files: one file in the safetensors format, with a version and a checksum."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from .network import Network
from .pooling import Pooling
from .quantised import Quantised, QuantisedGraph
from .safetensors import SafeTensors, write_safetensors
from .weights import Dense, NormWeights, Parameters

__all__ = ["is_quantised", "load_quantised", "save_quantised"]

FORMAT, VERSION = "spatial-llm quantised model", "3"

Tensors = dict[str, np.ndarray]


def save_quantised(path: Path, model: Quantised) -> None:
    """Writes a quantised model to a file, which appears when it is complete."""
    tensors = _named("table", model.tables) | _named("factors", model.group_factors)
    for graph, parameters in (("embedding", model.embedding), ("closing", model.closing)):
        tensors |= _named(graph, _real(parameters))
    for index, layer in enumerate(model.layers):
        tensors |= _named(f"layer.{index}", _tensors(layer))
    if model.head:
        tensors |= _named("head", _tensors(model.head))
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": json.dumps(asdict(model.network)),
        "pooling": json.dumps(asdict(model.pooling)),
        "source": model.source,
        "checksum": _checksum(tensors),
    }
    write_safetensors(path, tensors, metadata)


def load_quantised(path: Path) -> Quantised:
    """What `save_quantised` wrote.

    Raises:
        InputError: for a file that is none of ours, of another version, or damaged.
    """
    file = SafeTensors(path)
    if file.metadata.get("format") != FORMAT:
        raise InputError(f"{path} must be a quantised model, as written by this program")
    if file.metadata.get("version") != VERSION:
        found = file.metadata.get("version")
        raise InputError(f"{path} must be of version {VERSION}, not {found}; quantise the model again")
    tensors = {name: file.raw(name) for name in file.entries}
    if _checksum(tensors) != file.metadata.get("checksum"):
        raise InputError(f"{path} is damaged: its checksum is wrong; quantise the model again")
    network = Network(**json.loads(file.metadata["network"]))
    head = _under("head", tensors)
    return Quantised(
        network=network,
        tables=_under("table", tensors),
        embedding=_parameters(_under("embedding", tensors)),
        closing=_parameters(_under("closing", tensors)),
        layers=tuple(_graph(_under(f"layer.{index}", tensors)) for index in range(network.layers)),
        head=_graph(head) if head else None,
        group_factors=_under("factors", tensors),
        source=file.metadata["source"],
        pooling=Pooling(**json.loads(file.metadata["pooling"])),
    )


def is_quantised(path: Path) -> bool:
    """Whether a file is what `save_quantised` wrote."""
    try:
        return SafeTensors(path).metadata.get("format") == FORMAT
    except InputError:
        return False


def _real(parameters: Parameters) -> Tensors:
    """The host's parameters as arrays by name."""
    return {
        f"{name}.{field.name}": getattr(own, field.name) for name, own in parameters.items() for field in fields(own)
    }


def _parameters(tensors: Tensors) -> Parameters:
    """The inverse of `_real`."""
    found: dict[str, Dense | NormWeights] = {}
    for name in {name.rpartition(".")[0] for name in tensors}:
        own = _under(name, tensors)
        found[name] = Dense(**own) if "weight" in own else NormWeights(**own)
    return found


def _tensors(graph: QuantisedGraph) -> Tensors:
    """The integers of a graph as arrays by name."""
    limits = {name: np.array([limit], dtype=np.int32) for name, limit in graph.limits.items()}
    return (
        _named("weights", graph.weights)
        | _named("limits", limits)
        | _named("channels", {name: one.words() for name, one in graph.channels.items()})
        | _named("norms", {name: one.words() for name, one in graph.norms.items()})
        | _named("tables", {name: table.astype(np.int32) for name, table in graph.tables.items()})
        | _named("units", {name: np.asarray(scale, dtype=np.float64) for name, scale in graph.scales.items()})
    )


def _graph(tensors: Tensors) -> QuantisedGraph:
    """The inverse of `_tensors`."""
    return QuantisedGraph(
        weights=_under("weights", tensors),
        limits={name: int(limit[0]) for name, limit in _under("limits", tensors).items()},
        channels={name: ChannelParameters.from_words(own) for name, own in _under("channels", tensors).items()},
        norms={name: NormParameters.from_words(own) for name, own in _under("norms", tensors).items()},
        tables={name: table.astype(np.int64) for name, table in _under("tables", tensors).items()},
        scales=_under("units", tensors),
    )


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> Tensors:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _under(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): own for name, own in tensors.items() if name.startswith(f"{prefix}.")}


def _checksum(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
