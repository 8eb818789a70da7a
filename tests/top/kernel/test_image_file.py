"""The memory image as a file: channels with headers, and the model beside them."""

from pathlib import Path

import numpy as np
import pytest

from hdl.card.image import HEADER_BEATS, MAGIC, Checksum
from hdl.errors import InputError
from hdl.model.quantisedfile import is_quantised, load_quantised
from hdl.model.safetensors import SafeTensors
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.image import build_image
from hdl.top.kernel.image_file import is_image, write_image
from hdl.top.kernel.kernel_spec import KernelSpec

from ..decoder.designs import FAR
from ..decoder.simulations import model_of
from ..designs import ODD, random_model

MODELS = {"encoder": (ODD, random_model(ODD, ODD.max_layers)), "decoder": (FAR, model_of(FAR))}


@pytest.mark.parametrize("kind", MODELS)
def test_channels_have_their_headers(kind: str, tmp_path: Path) -> None:
    pipeline, model = MODELS[kind]
    spec, path = KernelSpec(pipeline), tmp_path / "image"
    write_image(path, model, spec)
    file, expected = SafeTensors(path), build_image(model, pipeline).channels
    assert is_image(path)
    for number, (name, beats) in enumerate(spec.image_channels.items()):
        contents = expected[name if name == "parameters" else "__".join(name.rsplit("_", 1))]
        found = file.tensor(f"channel.{name}")
        np.testing.assert_array_equal(found[HEADER_BEATS:], contents)
        header = found[:HEADER_BEATS].ravel()[:32].view("<u8").tolist()
        assert header == [MAGIC, spec.design_hash, number | beats << 32, Checksum.of([contents]).value]
    assert {name for name in file.shapes if name.startswith("channel.")} == {
        f"channel.{n}" for n in spec.image_channels
    }


def test_the_file_is_the_quantised_model_too(tmp_path: Path) -> None:
    pipeline, model = MODELS["encoder"]
    write_image(tmp_path / "image", model, KernelSpec(pipeline))
    assert is_quantised(tmp_path / "image")
    text = [1, 2, 3]
    np.testing.assert_array_equal(load_quantised(tmp_path / "image").embed(text), model.embed(text))


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    pipeline, model = MODELS["encoder"]
    for name in ("one", "other"):
        write_image(tmp_path / name, model, KernelSpec(pipeline))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("pipeline", [pipeline for pipeline, _ in MODELS.values()], ids=MODELS)
def test_pieces_are_the_whole(pipeline: PipelineSpec, tmp_path: Path) -> None:
    model = next(model for own, model in MODELS.values() if own is pipeline)
    write_image(tmp_path / "image", model, KernelSpec(pipeline))
    file = SafeTensors(tmp_path / "image")
    firsts, pieces = zip(*file.pieces("channel.parameters", 100), strict=True)
    assert list(firsts) == list(range(0, len(file.tensor("channel.parameters")), 100))
    np.testing.assert_array_equal(np.concatenate(pieces), file.tensor("channel.parameters"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    pipeline, model = MODELS["encoder"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_image(tmp_path / "file" / "image", model, KernelSpec(pipeline))
