"""Quantised decoders as files."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder

from .networks import quantised

MODEL = quantised()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "model.safetensors"
    MODEL.save(found)
    return found


def test_what_was_saved_is_loaded(path: Path) -> None:
    loaded = Quantised.load(path)
    assert list(path.parent.iterdir()) == [path]
    for field in fields(Quantised):
        found, expected = getattr(loaded, field.name), getattr(MODEL, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
        elif field.name in ("norm", "head"):
            np.testing.assert_array_equal(found.words(), expected.words())
        elif field.name != "layers":
            assert found == expected
    step, expected_step = (Decoder(model).prefill([3, 1, 4, 1, 5]) for model in (loaded, MODEL))
    np.testing.assert_array_equal(step.logits, expected_step.logits)
    for one, other in zip(step.layers, expected_step.layers, strict=True):
        assert all(np.array_equal(values, other[name]) for name, values in one.items())


def test_an_encoder_is_wanted(path: Path) -> None:
    with pytest.raises(InputError) as error:
        Quantised.load(path)
    assert str(error.value) == f"{path} must be a quantised model of the family bert, not gpt2"


def test_a_single_wrong_bit(path: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.write_bytes(contents)
    with pytest.raises(InputError) as error:
        Quantised.load(path)
    assert str(error.value) == f"{path} is damaged: its checksum is wrong; quantise the model again"
