"""The reader and the writer of safetensors, and files that are damaged in every way."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.safetensors import SafeTensors, write_safetensors


def written(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int, end: int, *, kind: str = "F32", shape: tuple[int, ...] = (2,)) -> dict[str, Any]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        SafeTensors(path)
    return str(error.value).replace(str(path), "FILE")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tensors.safetensors"


def test_what_was_written_is_read(path: Path) -> None:
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "transposed": np.arange(6, dtype=np.int8).reshape(2, 3).T,
        "words": np.array([2**63 + 1], dtype=np.uint64),
        "none": np.zeros((0, 4), dtype=np.int16),
        "scalar": np.array(2.5),
    }
    write_safetensors(path, tensors, {"who": "me"})
    file = SafeTensors(path)
    assert file.metadata == {"who": "me"}
    assert file.shapes == {name: tensor.shape for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        assert file.tensor(name).dtype == tensor.dtype
        np.testing.assert_array_equal(file.tensor(name), tensor)


def test_floats_of_all_widths(path: Path) -> None:
    values = np.array([1.5, -0.25, 3.0, 0.0], dtype=np.float32)
    brain = (values.view(np.uint32) >> 16).astype(np.uint16)
    data = values.tobytes() + values.astype(np.float16).tobytes() + brain.tobytes() + values.astype(float).tobytes()
    header = {
        "full": entry(0, 16, shape=(4,)),
        "half": entry(16, 24, kind="F16", shape=(2, 2)),
        "brain": entry(24, 32, kind="BF16", shape=(4,)),
        "double": entry(32, 64, kind="F64", shape=(4,)),
    }
    file = SafeTensors(written(path, header, data))
    for name in header:
        assert file.floats(name).dtype == np.float32
        np.testing.assert_array_equal(file.floats(name).ravel(), values)
    assert file.floats("half").shape == (2, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(path: Path, value: float) -> None:
    write_safetensors(path, {"w": np.array([[0, 1], [value, 2]], dtype=np.float32)}, {})
    with pytest.raises(InputError, match=f"tensor 'w' must be finite in F32, but is {value} at \\[1, 0\\]$"):
        SafeTensors(path).floats("w")


def test_integers_are_no_weights(path: Path) -> None:
    write_safetensors(path, {"w": np.zeros(3, dtype=np.int64)}, {})
    with pytest.raises(InputError, match="tensor 'w' must be of a type among F32, F16, BF16, F64, not I64$"):
        SafeTensors(path).floats("w")


def test_files_that_are_something_else(path: Path, tmp_path: Path) -> None:
    assert refused(path) == "FILE cannot be read: No such file or directory"
    assert refused(tmp_path) == "FILE cannot be read: Is a directory"
    path.write_bytes(b"nope")
    assert refused(path) == "FILE must be a safetensors file, but has 'header too small' in its header; get it again"
    for begin, kind in (
        (b"PK\3\4", "a PyTorch"),
        (b"\x80\2}q", "a PyTorch"),
        (b"GGUF\3", "a GGUF"),
        (b"\x89HDF", "an HDF5"),
    ):
        path.write_bytes(begin + bytes(100))
        assert refused(path) == f"FILE must be a safetensors file, not {kind} file; convert it"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert refused(path) == "FILE is a Git LFS pointer; run: git lfs pull"
    path.write_bytes(b"<!DOCTYPE html><html>" + bytes(100))
    assert refused(path) == "FILE is an HTML page; download the file itself"
    path.write_bytes((1 << 40).to_bytes(8, "little") + bytes(100))
    assert refused(path) == "FILE must be a safetensors file, but has 'header too large' in its header; get it again"


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xff\xff",
        b"{'a'}",
        b'{"w": ' + b"[" * 100_000,
        b'{"w": ' + b"9" * 5_000 + b"}",
        [1, 2],
        {"__metadata__": {"a": 1}},
        *(
            {"w": wrong}
            for wrong in (
                {},
                7,
                entry(0, 12),
                entry(4, 12),
                entry(0, 8, kind="F9\n" * 100),
                entry(0, 8) | {"dtype": ["F32"]},
                entry(0, 8) | {"shape": 2},
                entry(0, 0) | {"shape": [0, 10**100]},
                entry(0, 8) | {"shape": [-2]},
                entry(0, 8) | {"data_offsets": [0]},
                entry(0, 8) | {"data_offsets": [0, 8.0]},
            )
        ),
        {"a": entry(0, 8), "b": entry(4, 12)},
        {"a": entry(0, 8), "b": entry(12, 20)},
    ],
    ids=lambda header: str(header)[:40],
)
def test_headers_that_are_not_of_the_format(path: Path, header: Any) -> None:
    message = refused(written(path, header, bytes(20)))
    assert re.fullmatch("FILE must be a safetensors file, but has '.{10,83}' in its header; get it again", message)


def test_a_tensor_that_is_there_twice_is_unambiguous(path: Path) -> None:
    one, other = (json.dumps(entry(begin, begin + 8)) for begin in (0, 8))
    data = np.arange(2, dtype=np.float32).tobytes()
    file = SafeTensors(written(path, f'{{"w": {one}, "w": {one}}}'.encode(), data))
    np.testing.assert_array_equal(file.floats("w"), [0, 1])
    refused(written(path, f'{{"w": {one}, "w": {other}}}'.encode(), data * 2))


def test_types_that_numpy_does_not_have(path: Path) -> None:
    file = SafeTensors(written(path, {"w": entry(0, 2, kind="F8_E4M3")}, bytes(2)))
    with pytest.raises(InputError, match="tensor 'w' must be of a type among F32, F16, .*, BOOL, not F8_E4M3$"):
        file.tensor("w")


def test_files_of_another_length(path: Path) -> None:
    write_safetensors(path, {"w": np.zeros(10, dtype=np.float32)}, {})
    whole = path.read_bytes()
    for contents in (whole[:-1], whole + b"x"):
        path.write_bytes(contents)
        assert refused(path) == "FILE must end with its last tensor, but is longer or cut off; get it again"


def test_a_file_cut_off_while_it_is_open(path: Path) -> None:
    write_safetensors(path, {"w": np.zeros(10, dtype=np.float32)}, {})
    file = SafeTensors(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="was cut off while it was read; get it again$"):
        file.tensor("w")


def test_a_file_that_cannot_be_written(path: Path) -> None:
    (path / "folder").mkdir(parents=True)
    with pytest.raises(InputError, match=f"^output file {path} cannot be written: "):
        write_safetensors(path, {"w": np.zeros(2)}, {})
    assert list(path.parent.iterdir()) == [path]
