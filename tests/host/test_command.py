"""The driver's command: what it refuses, in one line."""

from pathlib import Path
from types import ModuleType

import pytest
from spatial_llm.__main__ import main

from hdl.top.kernel.image_file import write_image
from hdl.top.kernel.kernel_spec import KernelSpec

from ..top.designs import SMALL, random_model


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "small.image"
    write_image(path, random_model(SMALL, SMALL.max_layers), KernelSpec(SMALL))
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_card_needs_pyxrt(image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyxrt", None)
    assert refused(capsys, "embed", "--xclbin", "x", "--image", str(image), "--text", "a") == (
        "spatial_llm: a card needs XRT's Python module pyxrt; source setup.sh of XRT, and use its Python\n"
    )


def test_an_image_must_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyxrt", ModuleType("pyxrt"))
    (tmp_path / "other").write_bytes(b"no image")
    message = refused(capsys, "doctor", "--xclbin", "x", "--image", str(tmp_path / "other"))
    assert message.startswith(f"spatial_llm: {tmp_path / 'other'} must be a safetensors file")
    assert message.count("\n") == 1


def test_options_that_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Missing option '--xclbin'" in refused(capsys, "generate", "--image", "x", "--prompt", "a")
