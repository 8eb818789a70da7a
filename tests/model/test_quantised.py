"""Quantised models in files: whole, or refused."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import reference
from hdl.model.quantise import quantise
from hdl.model.quantised import LINEAR_UNITS, Quantised
from hdl.model.safetensors import SafeTensors, write_safetensors
from hdl.model.weights import random_weights

from .networks import SMALL, texts

QUANTISED = quantise(random_weights(SMALL, 5), texts(SMALL, [20] * 2), static=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "model.quantised"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        Quantised.load(path)
    return str(error.value).replace(str(path), "FILE")


def test_what_was_saved_is_loaded(path: Path) -> None:
    QUANTISED.save(path)
    found = Quantised.load(path)
    assert (found.spec, found.source) == (SMALL, "random weights, seed 5")
    for own, again in zip(QUANTISED.layers, found.layers, strict=True):
        assert own.limits == again.limits
        assert all(limit > 0 for limit in again.limits)
        np.testing.assert_array_equal(own.activation, again.activation)
        for field in fields(own):
            if field.name not in ("limits", "activation") and not field.name.endswith("weight"):
                np.testing.assert_array_equal(own.block(field.name), again.block(field.name))
    tokens = QUANTISED.embed([1, 2, 3])
    np.testing.assert_array_equal(found.embed([1, 2, 3]), tokens)
    last = reference.run(found, tokens)[-1]
    np.testing.assert_array_equal(last, reference.run(QUANTISED, tokens)[-1])
    np.testing.assert_array_equal(found.pool(last), QUANTISED.pool(last))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_of_another_kind(path: Path) -> None:
    write_safetensors(path, {"a": np.zeros(2)}, {})
    assert refused(path) == "FILE must be a quantised model, as written by this program"


def test_a_file_of_another_version(path: Path) -> None:
    QUANTISED.save(path)
    file = SafeTensors(path)
    write_safetensors(path, {name: file.raw(name) for name in file.entries}, file.metadata | {"version": "0"})
    assert refused(path) == "FILE must be of version 2, not 0; quantise the model again"


def test_a_single_wrong_bit(path: Path) -> None:
    QUANTISED.save(path)
    contents = bytearray(path.read_bytes())
    contents[-100] ^= 4
    path.write_bytes(contents)
    assert refused(path) == "FILE is damaged: its checksum is wrong; quantise the model again"


def test_limits_are_words_by_the_names_of_their_units() -> None:
    layer = replace(QUANTISED.layers[0], limits=(1, 2, 3, 4))
    assert [layer.block(f"limit_{unit}").tolist() for unit in LINEAR_UNITS] == [[1], [2], [3], [4]]
