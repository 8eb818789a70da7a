"""Quantised models in files: whole, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import reference
from hdl.model.groups import group_of, nibbles
from hdl.model.quantised import Quantised, QuantisedGraph
from hdl.model.quantisedfile import FORMAT, is_quantised, load_quantised, save_quantised
from hdl.model.reference import Decoder
from hdl.model.safetensors import SafeTensors, write_safetensors
from hdl.model.weightbits import W4

from .networks import SMALL, SMALL_BERT, SMALL_GPT2, quantised


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "model.quantised"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_quantised(path)
    return str(error.value).replace(str(path), "FILE")


def saved(path: Path, model: Quantised) -> Quantised:
    save_quantised(path, model)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return load_quantised(path)


def assert_same(found: QuantisedGraph, expected: QuantisedGraph) -> None:
    """All integers and scales of a graph, and their kinds."""
    assert found.limits == expected.limits
    for name in ("weights", "channels", "norms", "tables", "scales"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.keys() == other.keys(), name
        for operator, own in other.items():
            if name in ("channels", "norms"):
                np.testing.assert_array_equal(one[operator].words(), own.words(), operator)
            else:
                np.testing.assert_array_equal(one[operator], own, operator)
                assert one[operator].dtype == own.dtype, operator


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("family", SMALL)
def test_what_was_saved_is_loaded(path: Path, family: str, static: bool) -> None:
    model = quantised(SMALL[family], static=static)
    found = saved(path, model)
    assert (found.network, found.source, found.pooling) == (SMALL[family], "random weights, seed 1", model.pooling)
    for one, other in zip(found.layers, model.layers, strict=True):
        assert_same(one, other)
        assert all((limit > 0) == static for limit in one.limits.values())
    assert (found.head is None) == (model.head is None) == (family == "bert")
    if found.head and model.head:
        assert_same(found.head, model.head)
    assert found.tables.keys() == model.tables.keys()
    for name, table in model.tables.items():
        np.testing.assert_array_equal(found.tables[name], table)
        assert found.tables[name].dtype == table.dtype
    tokens = model.embed([1, 2, 3])
    np.testing.assert_array_equal(found.embed([1, 2, 3]), tokens)
    last = reference.run(found, tokens)[-1]
    np.testing.assert_array_equal(last, reference.run(model, tokens)[-1])
    np.testing.assert_array_equal(found.pool(last), model.pool(last))


def test_every_intermediate_of_a_decoder_that_was_loaded(path: Path) -> None:
    model = quantised(SMALL_GPT2)
    step, expected = (Decoder(own).prefill([3, 1, 4, 1, 5]) for own in (saved(path, model), model))
    np.testing.assert_array_equal(step.logits, expected.logits)
    for one, other in zip(step.layers, expected.layers, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(values, other[name]) for name, values in one.items())
    assert load_quantised(path).logit_scale == model.logit_scale


def test_factors_of_groups(path: Path) -> None:
    model = quantised(SMALL_GPT2, weight_bits=W4)
    found = saved(path, model)
    assert found.weight_bits == W4
    assert found.group_factors.keys() == model.group_factors.keys()
    for name, factors in model.group_factors.items():
        np.testing.assert_array_equal(found.group_factors[name], factors)
    assert found.head is not None
    assert model.head is not None
    weights, factors = found.head.weights["head"], found.group_factors["head"]
    spread = model.group_factors["head"][:, group_of(48)].astype(np.int64)
    np.testing.assert_array_equal(nibbles(weights, factors) * spread, model.head.weights["head"])


def test_a_file_of_another_kind(path: Path) -> None:
    write_safetensors(path, {"a": np.zeros(2)}, {})
    assert refused(path) == "FILE must be a quantised model, as written by this version of the program"
    assert not is_quantised(path)
    assert not is_quantised(path.parent / "nothing")


@pytest.mark.parametrize("version", [0, 4])
def test_a_file_of_another_version(path: Path, version: int) -> None:
    save_quantised(path, quantised(SMALL_BERT))
    assert is_quantised(path)
    file = SafeTensors(path)
    contents = {name: file.tensor(name) for name in file.shapes}
    write_safetensors(path, contents, {FORMAT: json.dumps(json.loads(file.metadata[FORMAT]) | {"version": version})})
    assert refused(path) == f"FILE must be of version 5, not {version}; quantise the model again"
    assert is_quantised(path), "it may be replaced"


def test_the_file_of_a_model_is_always_the_same(path: Path) -> None:
    model = quantised(SMALL_BERT)
    save_quantised(path, model)
    contents = path.read_bytes()
    save_quantised(path, model)
    assert path.read_bytes() == contents


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("place", [-1, -100])
def test_a_single_wrong_bit(path: Path, family: str, place: int) -> None:
    save_quantised(path, quantised(SMALL[family]))
    contents = bytearray(path.read_bytes())
    contents[place] ^= 4
    path.write_bytes(contents)
    assert refused(path) == "FILE is damaged: its checksum is wrong; quantise the model again"
