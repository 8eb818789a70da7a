"""The tensors of a checkpoint that is one file or several: Hugging Face's index says which file has which tensor."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..textfile import parse_json, read_text
from .gguf import GGUF, GGUFTensors, open_gguf
from .safetensors import SafeTensors

__all__ = ["INDEX", "WEIGHTS", "ShardedTensors", "Tensors", "open_tensors", "tensor_files"]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""What Hugging Face calls the file of a checkpoint, and the index of one that is in several files, its shards."""


class ShardedTensors:
    """Tensors in several files, found through the index ``path``. Members: as `SafeTensors` has them.

    Raises:
        InputError: for an index or a shard that cannot be read, a shard that lacks a tensor of the index, and tensors
            that are in two shards.
    """

    def __init__(self, path: Path):
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._shard_of: dict[str, SafeTensors] = {}
        places = _places(path)
        for shard in map(SafeTensors, _shards(path, places)):
            for name, shape in shard.shapes.items():
                if name in self.shapes:
                    files = f"{self._shard_of[name].path.name} and {shard.path.name}"
                    raise InputError(f"{path}: tensor {name!r} must be in one shard, but is in {files}")
                self.shapes[name], self._shard_of[name] = shape, shard
        for name, file in places.items():
            if name not in self.shapes or self._shard_of[name].path.name != file:
                raise InputError(
                    f"{path}: tensor {name!r} must be in the shard {file}, but is not; get the files again"
                )

    def floats(self, name: str) -> np.ndarray:
        """A tensor in float32; see `SafeTensors.floats`."""
        return self._shard_of[name].floats(name)


Tensors = SafeTensors | ShardedTensors | GGUFTensors
"""The tensors of a checkpoint."""


def open_tensors(path: Path) -> Tensors:
    """The tensors in a safetensors file, in the shards of an index (a ``.json``), or in a GGUF file.

    Raises:
        InputError: see `SafeTensors`, `ShardedTensors` and `open_gguf`.
    """
    if path.suffix == GGUF:
        return open_gguf(path)
    return ShardedTensors(path) if path.suffix == ".json" else SafeTensors(path)


def tensor_files(path: Path) -> list[Path]:
    """The files that `open_tensors` reads."""
    return [path, *_shards(path, _places(path))] if path.suffix == ".json" else [path]


def _places(path: Path) -> dict[str, str]:
    """The file of each tensor, as an index says."""
    index: Any = parse_json(read_text(path, "index"), f"index {path}")
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"index {path} must have a weight_map from tensors to files, as Hugging Face writes it")
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(f"index {path}: tensor {name!r} must be in a file beside the index, not in {file!r}")
    return places


def _shards(path: Path, places: dict[str, str]) -> list[Path]:
    """The files of an index, all of which must be there."""
    files = [path.with_name(file) for file in sorted(set(places.values()))]
    for number, file in enumerate(files, 1):
        if not file.exists():
            raise InputError(f"{path} lacks its shard {file.name} ({number} of {len(files)}); get the files again")
    return files
