"""From tokens to one embedding, as a model in sentence-transformers' format says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.origin import Origin
from hdl.model.pooling import MEAN, read_pooling

from .checkpoints import BERT, write_model

FEATURES = np.array([[1.0, 8.0], [5.0, -4.0]])
MODULES = [
    {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for index, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, BERT)
    return tmp_path


def write_pooling(folder: Path, config: Any, modules: Any = MODULES) -> Path:
    """Writes a pooling, and the modules unless they are None; returns the pooling's path."""
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    return folder / "1_Pooling" / "config.json"


def mode(*names: str) -> dict[str, Any]:
    known = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    return {"word_embedding_dimension": 16} | {f"pooling_mode_{name}": name in names for name in known}


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        read_pooling(Origin.of(str(folder)))
    return str(error.value).replace(str(folder), "FOLDER")


def test_a_model_that_says_none(folder: Path) -> None:
    pooling = read_pooling(Origin.of(str(folder)))
    assert pooling == MEAN
    assert str(pooling) == "pooling: the mean of the tokens, scaled to length 1 (assumed, as the model says none)"
    np.testing.assert_allclose(pooling.of(np.array([[1.0, 8.0], [5.0, 0.0]])), [0.6, 0.8])
    assert not pooling.of(np.zeros((3, 4))).any()


@pytest.mark.parametrize(
    ("config", "expected", "told"),
    [
        (mode("cls_token"), [1, 8], "the first token"),
        (mode("mean_tokens"), [3, 2], "the mean of the tokens"),
        (mode("max_tokens"), [5, 8], "the greatest of the tokens"),
        ({"pooling_mode": "cls"}, [1, 8], "the first token"),
    ],
)
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_every_mode(
    folder: Path, config: Any, expected: list[float], told: str, normalised: bool, listed: bool
) -> None:
    path = write_pooling(folder, config, (MODULES if normalised else MODULES[:2]) if listed else None)
    if normalised:
        (folder / "2_Normalize").mkdir()
    pooling = read_pooling(Origin.of(str(folder)))
    scaled = "scaled to length 1" if normalised else "not scaled"
    assert str(pooling) == f"pooling: {told}, {scaled} ({path})"
    length = np.linalg.norm(expected) if normalised else 1
    np.testing.assert_allclose(pooling.of(FEATURES), np.array(expected) / length)


def test_the_built_in_encoder_says_its_own() -> None:
    origin = Origin.of("minilm-l6")
    pooling = read_pooling(origin)
    assert (pooling.mode, pooling.normalised) == (MEAN.mode, MEAN.normalised)
    assert pooling.source == str(origin.folders[0] / "1_Pooling" / "config.json")


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (mode("mean_sqrt_len_tokens"), "pooling_mode_mean_sqrt_len_tokens"),
        (mode("cls_token", "max_tokens"), "cls and max"),
        (mode(), "none"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode": ["mean"]}, "['mean']"),
    ],
)
def test_modes_that_are_not_supported(folder: Path, config: Any, found: str) -> None:
    write_pooling(folder, config)
    assert refused(folder) == f"pooling in FOLDER/1_Pooling/config.json must be one of cls, mean, max, not {found}"


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            [*MODULES[:2], {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}],
            "modules in FOLDER/modules.json must be Transformer, Pooling and perhaps Normalize, not Transformer, "
            "Pooling, Dense",
        ),
        (
            [MODULES[0], MODULES[2], MODULES[1]],
            "modules in FOLDER/modules.json must be Transformer, Pooling and perhaps Normalize, not Transformer, "
            "Normalize, Pooling",
        ),
        ([], "modules in FOLDER/modules.json must be Transformer, Pooling and perhaps Normalize, not none"),
        ({"type": 1}, "file FOLDER/modules.json must list modules with type and path, as sentence-transformers does"),
        ([{"type": 1}], "file FOLDER/modules.json must list modules with type and path, as sentence-transformers does"),
    ],
)
def test_modules_that_are_not_supported(folder: Path, modules: Any, message: str) -> None:
    write_pooling(folder, mode("mean_tokens"), modules)
    assert refused(folder) == message


def test_a_pooling_that_cannot_be_read(folder: Path) -> None:
    path = write_pooling(folder, [1])
    name = "pooling FOLDER/1_Pooling/config.json"
    assert refused(folder) == f"{name} must be a JSON object, as sentence-transformers writes it"
    path.unlink()
    assert refused(folder) == f"{name} cannot be read: No such file or directory"
