"""Files of tensors in the safetensors format, by the format's own library, with errors of one line."""

import json
from collections.abc import Collection, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import ml_dtypes  # noqa: F401 - it gives numpy the type bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import InputError, shown
from ..output import written
from ..textfile import stand_in

__all__ = ["SafeTensors", "finite", "write_header", "write_safetensors"]

FLOATS = ("F32", "F16", "BF16", "F64")

TYPES = (*FLOATS, "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
"""The types of the format that numpy has."""

OTHER_FORMATS = {b"PK": "a PyTorch file", b"\x80": "a PyTorch file", b"GGUF": "a GGUF file", b"\x89HDF": "an HDF5 file"}
"""How files of weights in other formats begin."""


class SafeTensors:
    """A file of tensors. Its header is checked when it is opened; a tensor is read when it is asked for.

    Members: ``path``; ``shapes``, of the tensors by name; ``metadata``, strings by name.

    Raises:
        InputError: for a file that cannot be read, or is not a whole file of the format.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                begin = file.read(100)
            self._file = safe_open(path, framework="numpy", backend="pread")
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        except SafetensorError as error:
            raise InputError(f"{path} {_what_it_is(begin, str(error))}") from None
        self.metadata: dict[str, str] = self._file.metadata() or {}
        names: list[str] = self._file.keys()
        self.shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in names}

    def tensor(self, name: str, types: Collection[str] = TYPES) -> np.ndarray:
        """A tensor as it is stored.

        Raises:
            InputError: for another type than these, and for a file that is no longer whole.
        """
        kind = self._file.get_slice(name).get_dtype()
        if kind not in types:
            raise InputError(f"{self.path}: tensor {name!r} must be of a type among {', '.join(types)}, not {kind}")
        try:
            found: np.ndarray = self._file.get_tensor(name)
        except (OSError, SafetensorError):
            raise InputError(f"{self.path} was cut off while it was read; get it again") from None
        return found

    def pieces(self, name: str, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """A tensor piece by piece: the first row of each, and up to ``rows`` rows.

        Raises:
            InputError: for a file that is no longer whole.
        """
        part = self._file.get_slice(name)
        end = self.shapes[name][0]
        for first in range(0, end, rows):
            try:
                yield first, part[first : min(first + rows, end)]
            except (OSError, SafetensorError):
                raise InputError(f"{self.path} was cut off while it was read; get it again") from None

    def floats(self, name: str) -> np.ndarray:
        """A tensor of floating-point numbers, as float32.

        Raises:
            InputError: as `tensor`, and for values that are not finite in float32.
        """
        raw = self.tensor(name, FLOATS)
        with np.errstate(over="ignore"):  # what F32 cannot hold is refused
            return finite(raw.astype(np.float32, copy=False), f"{self.path}: tensor {name!r}", raw)


def finite(values: np.ndarray, what: str, raw: np.ndarray | None = None) -> np.ndarray:
    """The values, which were ``raw`` before they became float32.

    Raises:
        InputError: for values that are not finite.
    """
    if not np.isfinite(values).all():
        at = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
        raise InputError(f"{what} must be finite in F32, but is {(values if raw is None else raw)[tuple(at)]} at {at}")
    return values


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a file of tensors; it appears under its name when it is complete.

    Raises:
        InputError: where it cannot be written.
    """
    contents = save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, dict(metadata))
    try:
        with written(path) as file:
            file.write(contents)
    except OSError as error:
        raise InputError(f"output file {path} cannot be written: {error.strerror}") from None


def write_header(
    file: IO[bytes], layout: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]
) -> dict[str, int]:
    """Begins a file of tensors that are written one by one, which the format's library does not do.

    ``layout``: the type and the shape of each tensor, by name. Returns the place of each, in bytes.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    places, at = {}, 0
    for name, (kind, shape) in layout.items():
        end = at + kind.itemsize * prod(shape)
        entries[name] = {
            "dtype": f"{kind.kind.upper()}{8 * kind.itemsize}", "shape": shape, "data_offsets": [at, end]
        }  # fmt: skip
        places[name], at = at, end
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    return {name: 8 + len(header) + place for name, place in places.items()}


def _what_it_is(begin: bytes, fault: str) -> str:
    """What is wrong with a file that begins like this, in which the library found a ``fault``."""
    if found := stand_in(begin):
        return found
    for sign, kind in OTHER_FORMATS.items():
        if begin.startswith(sign):
            return f"must be a safetensors file, not {kind}; convert it"
    if "not fully covered" in fault:
        return "must end with its last tensor, but is longer or cut off; get it again"
    return f"must be a safetensors file, but has {shown(fault.rpartition('header: ')[2])} in its header; get it again"
