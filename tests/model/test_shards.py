"""Checkpoints in several files, and every way in which these may not belong together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.safetensors import write_safetensors
from hdl.model.shards import INDEX, open_tensors, tensor_files

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TENSORS = {name: np.arange(3, dtype=np.float32) + place for place, name in enumerate("abc")}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The index of three tensors in two shards."""
    write_safetensors(tmp_path / FIRST, {name: TENSORS[name] for name in "ab"}, {})
    write_safetensors(tmp_path / SECOND, {"c": TENSORS["c"]}, {})
    return written(tmp_path, {"metadata": {}, "weight_map": {"a": FIRST, "b": FIRST, "c": SECOND}})


def written(folder: Path, contents: Any) -> Path:
    (folder / INDEX).write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return folder / INDEX


def refused(index: Path) -> str:
    with pytest.raises(InputError) as error:
        open_tensors(index)
    return str(error.value).replace(str(index), "INDEX")


def test_tensors_of_all_shards(index: Path) -> None:
    found = open_tensors(index)
    assert set(found.shapes) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found.floats(name), tensor)
    assert tensor_files(index) == [index, index.with_name(FIRST), index.with_name(SECOND)]
    assert tensor_files(index.with_name(FIRST)) == [index.with_name(FIRST)]


def test_a_shard_that_is_missing(index: Path) -> None:
    index.with_name(SECOND).unlink()
    assert refused(index) == f"INDEX lacks its shard {SECOND} (2 of 2); get the files again"


def test_a_tensor_that_is_not_in_its_shard(index: Path) -> None:
    write_safetensors(index.with_name(SECOND), {"d": TENSORS["c"]}, {})
    assert refused(index) == f"INDEX: tensor 'c' must be in the shard {SECOND}, but is not; get the files again"


def test_a_tensor_in_two_shards(index: Path) -> None:
    write_safetensors(index.with_name(SECOND), {name: TENSORS[name] for name in "bc"}, {})
    assert refused(index) == f"INDEX: tensor 'b' must be in one shard, but is in {FIRST} and {SECOND}"


def test_a_damaged_shard(index: Path) -> None:
    index.with_name(FIRST).write_bytes(b"")
    assert refused(index).startswith(f"{index.with_name(FIRST)} must be a safetensors file")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "index INDEX must be valid JSON: "),
        ("[" * 100_000, "index INDEX must be valid JSON, but is nested too deeply"),
        ({}, "index INDEX must have a weight_map from tensors to files, as Hugging Face writes it"),
        ({"weight_map": {}}, "index INDEX must have a weight_map from tensors to files, as Hugging Face writes it"),
        ([1], "index INDEX must have a weight_map from tensors to files, as Hugging Face writes it"),
        ({"weight_map": {"a": 7}}, "index INDEX: tensor 'a' must be in a file beside the index, not in 7"),
        (
            {"weight_map": {"a": "../a.safetensors"}},
            "index INDEX: tensor 'a' must be in a file beside the index, not in '../a.safetensors'",
        ),
        ('{"weight_map": {"a": "x", "a": "y"}}', "index INDEX must have the key 'a' once, not twice"),
        ("version https://git-lfs.github.com/spec/v1\n", "index INDEX is a Git LFS pointer; run: git lfs pull"),
    ],
)
def test_an_index_that_is_not_one(tmp_path: Path, contents: Any, message: str) -> None:
    assert refused(written(tmp_path, contents)).startswith(message)
