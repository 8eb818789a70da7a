"""Quantised networks in files: one file in the safetensors format, with a version and a checksum."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from .network import Network
from .pooling import Pooling
from .quantised import Quantised, QuantisedGraph
from .safetensors import SafeTensors, write_safetensors
from .weights import Dense, NormWeights, Parameters

__all__ = ["FOREIGN", "is_quantised", "load_quantised", "quantised_tensors", "save_quantised"]

FORMAT, VERSION = "spatial-llm quantised model", 5

FOREIGN = "channel."
"""How the names of tensors begin that are not the model's, but those of a memory image beside it."""

Tensors = dict[str, np.ndarray]


def save_quantised(path: Path, model: Quantised) -> None:
    """Writes a quantised model to a file, which appears when it is complete."""
    write_safetensors(path, *quantised_tensors(model))


def quantised_tensors(model: Quantised) -> tuple[Tensors, dict[str, str]]:
    """The tensors of a quantised model's file, by name, and the file's metadata."""
    tensors = _flat(
        {
            "table": model.tables,
            "factors": model.group_factors,
            "embedding": {name: vars(own) for name, own in model.embedding.items()},
            "closing": {name: vars(own) for name, own in model.closing.items()},
            "layer": {str(index): _tree(layer) for index, layer in enumerate(model.layers)},
            "head": _tree(model.head) if model.head else {},
        }
    )
    about = {
        "version": VERSION,
        "network": asdict(model.network),
        "pooling": asdict(model.pooling),
        "source": model.source,
        "packed_bits": model.packed_bits,
        "checksum": _checksum(tensors),
    }
    # In a single entry, as the library does not keep the order of several.
    return tensors, {FORMAT: json.dumps(about)}


def load_quantised(path: Path) -> Quantised:
    """What `save_quantised` wrote. A file may have more: tensors whose names begin with `FOREIGN` are not the model's.

    Raises:
        InputError: for a file that is none of ours, of another version, or damaged.
    """
    file = SafeTensors(path)
    if FORMAT not in file.metadata:
        raise InputError(f"{path} must be a quantised model, as written by this version of the program")
    about = json.loads(file.metadata[FORMAT])
    if about["version"] != VERSION:
        raise InputError(f"{path} must be of version {VERSION}, not {about['version']}; quantise the model again")
    tensors = {name: file.tensor(name) for name in file.shapes if not name.startswith(FOREIGN)}
    if _checksum(tensors) != about["checksum"]:
        raise InputError(f"{path} is damaged: its checksum is wrong; quantise the model again")
    network = Network(**about["network"])
    head = _under("head", tensors)
    return Quantised(
        network=network,
        tables=_under("table", tensors),
        embedding=_parameters(_under("embedding", tensors)),
        closing=_parameters(_under("closing", tensors)),
        layers=tuple(_graph(_under(f"layer.{index}", tensors)) for index in range(network.layers)),
        head=_graph(head) if head else None,
        group_factors=_under("factors", tensors),
        source=about["source"],
        packed_bits=about["packed_bits"],
        pooling=Pooling(**about["pooling"]),
    )


def is_quantised(path: Path) -> bool:
    """Whether a file is what `save_quantised` wrote."""
    try:
        return FORMAT in SafeTensors(path).metadata
    except InputError:
        return False


def _parameters(tensors: Tensors) -> Parameters:
    """The host's parameters of their arrays by name."""
    found: dict[str, Dense | NormWeights] = {}
    for name in {name.rpartition(".")[0] for name in tensors}:
        own = _under(name, tensors)
        found[name] = Dense(**own) if "weight" in own else NormWeights(**own)
    return found


def _tree(graph: QuantisedGraph) -> dict[str, Any]:
    """The integers of a graph as arrays by kind and name."""
    return {
        "weights": graph.weights,
        "limits": {name: np.array([limit], dtype=np.int32) for name, limit in graph.limits.items()},
        "channels": {name: one.words() for name, one in graph.channels.items()},
        "norms": {name: one.words() for name, one in graph.norms.items()},
        "tables": {name: table.astype(np.int32) for name, table in graph.tables.items()},
        "scales": graph.scales,
    }


def _graph(tensors: Tensors) -> QuantisedGraph:
    """The inverse of `_tree`."""
    return QuantisedGraph(
        weights=_under("weights", tensors),
        limits={name: int(limit[0]) for name, limit in _under("limits", tensors).items()},
        channels={name: ChannelParameters.from_words(own) for name, own in _under("channels", tensors).items()},
        norms={name: NormParameters.from_words(own) for name, own in _under("norms", tensors).items()},
        tables={name: table.astype(np.int64) for name, table in _under("tables", tensors).items()},
        scales=_under("scales", tensors),
    )


def _flat(tree: Mapping[str, Any]) -> Tensors:
    """Arrays by name, of a tree of them: the names of its branches, joined by dots."""
    found: Tensors = {}
    for name, branch in tree.items():
        if isinstance(branch, Mapping):
            found |= {f"{name}.{own}": array for own, array in _flat(branch).items()}
        else:
            found[name] = np.asarray(branch)
    return found


def _under(prefix: str, tensors: Tensors) -> Tensors:
    """A branch of the tree, flat."""
    return {name.removeprefix(f"{prefix}."): own for name, own in tensors.items() if name.startswith(f"{prefix}.")}


def _checksum(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
