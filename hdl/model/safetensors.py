"""Files in the safetensors format: the length of a header, the header in JSON, the tensors. Read tensor by tensor."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..output import written
from ..textfile import parse_json, stand_in

__all__ = ["SafeTensors", "TensorEntry", "write_safetensors"]

MAX_HEADER = 100_000_000
"""Bytes of the longest header, as the format's own library has it."""

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"}
TYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}
"""What holds the bytes of an element of each type of the format; numpy has no bfloat16."""

FLOATS = ("F32", "F16", "BF16", "F64")

MAX_SIZE = 1 << 48
"""Elements along an axis, at most."""

OTHER_FORMATS = {b"PK": "a PyTorch file", b"\x80": "a PyTorch file", b"GGUF": "a GGUF file", b"\x89HDF": "an HDF5 file"}
"""How files of weights in other formats begin."""


@dataclass(frozen=True)
class TensorEntry:
    """A tensor's type, a key of `TYPES`, its shape, and where in the file it begins and ends, in bytes."""

    type: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafeTensors:
    """A file of tensors. Its header is checked when it is opened; a tensor's bytes are read when it is asked for.

    Members: ``path``; ``entries``, the tensors by name; ``metadata``, strings by name.

    Raises:
        InputError: for a file that cannot be read, is cut off, has a header that is not of the format, or tensors that
            overlap.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
                    file.seek(0)
                    raise InputError(f"{path} {_what_it_is(file.read(100), size)}")
                text = file.read(length).decode()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} must be a safetensors file, but its header is not UTF-8") from None
        header = parse_json(text, f"{path}: the header")
        if not isinstance(header, dict):
            raise InputError(f"{path} must be a safetensors file, but its header is no JSON object")
        metadata = header.pop("__metadata__", {})
        self.metadata: dict[str, str] = metadata if isinstance(metadata, dict) else {}
        self.entries = {name: self._entry(name, value, 8 + length) for name, value in header.items()}
        self._check_places(8 + length, size)

    def _entry(self, name: str, value: Any, start: int) -> TensorEntry:
        """A header's entry, checked by itself."""
        try:
            kind, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
            if not isinstance(kind, str):
                raise TypeError
            if not all(type(number) is int and 0 <= number < MAX_SIZE for number in (*shape, begin, end)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            message = f"{self.path}: the header's entry of tensor {name!r} must have a dtype, a shape and two offsets"
            raise InputError(message) from None
        if kind not in TYPES:
            raise InputError(f"{self.path}: tensor {name!r} must be of a type among {', '.join(TYPES)}, not {kind!r}")
        wanted = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
        if end - begin != wanted:
            raise InputError(
                f"{self.path}: tensor {name!r} of shape {list(shape)} must take {wanted} bytes, not {end - begin}"
            )
        return TensorEntry(kind, shape, start + begin, start + end)

    def _check_places(self, start: int, size: int) -> None:
        """The tensors must follow each other without a gap to the end of the file."""
        place, before = start, "the header"
        for name, entry in sorted(self.entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != place:
                how = "overlaps" if entry.begin < place else "leaves a gap after"
                raise InputError(f"{self.path}: tensor {name!r} {how} {before}")
            place, before = entry.end, f"tensor {name!r}"
        if place > size:
            raise InputError(
                f"{self.path} is cut off: its tensors end at byte {place}, but it has {size}; get it again"
            )
        if place < size:
            raise InputError(f"{self.path} must end with its last tensor at byte {place}, but it has {size}")

    def raw(self, name: str) -> np.ndarray:
        """A tensor as it is stored; a bfloat16 one as the uint16 of its bits."""
        entry = self.entries[name]
        kind = np.dtype(TYPES[entry.type])
        try:
            with self.path.open("rb") as file:
                file.seek(entry.begin)
                found = np.fromfile(file, kind, math.prod(entry.shape))
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}") from None
        if found.size != math.prod(entry.shape):
            raise InputError(f"{self.path} was cut off while it was read; get it again")
        return found.reshape(entry.shape)

    def floats(self, name: str) -> np.ndarray:
        """A tensor of F32, F16, BF16 or F64, as float32.

        Raises:
            InputError: for another type, and for NaN or infinity among its values.
        """
        kind = self.entries[name].type
        if kind not in FLOATS:
            raise InputError(f"{self.path}: tensor {name!r} must be of a type among {', '.join(FLOATS)}, not {kind}")
        raw = self.raw(name)
        with np.errstate(over="ignore"):  # what F32 cannot hold is refused below
            # The bits of a bfloat16 are the upper half of those of the same float32.
            values = (
                (raw.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else raw.astype(np.float32, copy=False)
            )
        if not np.isfinite(values).all():
            at = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
            wrong = (raw if kind == "F64" else values)[tuple(at)]
            raise InputError(f"{self.path}: tensor {name!r} must be finite in F32, but is {wrong} at {at}")
        return values


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a file of tensors; it appears under its name when it is complete.

    Raises:
        InputError: where it cannot be written.
    """
    names = {np.dtype(kind).str: name for name, kind in TYPES.items() if name != "BF16"}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    place = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": names[tensor.dtype.newbyteorder("<").str],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.nbytes],
        }
        place += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        with written(path) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for tensor in tensors.values():
                file.write(tensor.astype(tensor.dtype.newbyteorder("<"), order="C", copy=False).data)
    except OSError as error:
        raise InputError(f"output file {path} cannot be written: {error.strerror}") from None


def _what_it_is(begin: bytes, size: int) -> str:
    """What a file is that begins like this, whose first bytes are no header's length."""
    if found := stand_in(begin):
        return found
    for sign, kind in OTHER_FORMATS.items():
        if begin.startswith(sign):
            return f"must be a safetensors file, not {kind}; convert it"
    return f"must be a safetensors file, but its header does not fit its {size} bytes"
