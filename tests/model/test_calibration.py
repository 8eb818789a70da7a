"""The texts that a model is calibrated on."""

from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.model.calibration import calibration_texts, read_calibration
from hdl.model.origin import Origin

from .checkpoints import BERT, write_model


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    write_model(tmp_path, BERT)
    return Origin.of(str(tmp_path))


def test_the_projects_own_texts() -> None:
    texts = calibration_texts()
    assert len(texts) == len(set(texts)) == 64
    assert all(texts)
    sentences = (Path(__file__).parents[2] / "bench" / "sentences.txt").read_text().splitlines()
    assert len(sentences) == 100
    # What is measured on has no part in calibration.
    assert not set(texts) & set(sentences)


def test_texts_beside_the_weights_go_first(origin: Origin) -> None:
    assert str(read_calibration(origin)) == "calibrated on the project's own English texts"
    path = origin.folders[0] / "calibration.txt"
    path.write_bytes("\ufeffone\r\n\n  \nGrüße\n".encode())
    found = read_calibration(origin)
    assert found.texts == ["one", "Grüße"]
    assert str(found) == f"calibrated on 2 texts of {path}"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"Gr\xfc\xdfe", "must be text in UTF-8, but has byte 0xfc in line 1; convert it"),
        (b"\n \n", "must have at least 1 line of text, but has none; add some or remove it"),
    ],
)
def test_texts_that_are_no_use(origin: Origin, contents: bytes, message: str) -> None:
    path = origin.folders[0] / "calibration.txt"
    path.write_bytes(contents)
    with pytest.raises(InputError) as error:
        read_calibration(origin)
    assert str(error.value) == f"calibration text {path} {message}"
