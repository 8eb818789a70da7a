"""From the features of a text's tokens to one embedding of the text, as sentence-transformers writes it down.

`modules.json` names what follows the encoder, in order; `1_Pooling/config.json` says how tokens become one vector, and
`2_Normalize` that the vector is scaled to length 1. This is the host's share, in real numbers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..textfile import parse_json, read_text
from .origin import MODULES, POOLING, Origin

__all__ = ["MEAN", "Pooling", "read_pooling"]

MODES = {"cls": "the first token", "mean": "the mean of the tokens", "max": "the greatest of the tokens"}

NORMALISATION = "2_Normalize"

KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}
"""What sentence-transformers calls the modes."""


@dataclass(frozen=True)
class Pooling:
    """How the features of a text's tokens become its embedding: the ``mode`` is a key of `MODES`; ``normalised`` to
    length 1 or not. ``source`` says where that is written."""

    mode: str
    normalised: bool
    source: str

    def __str__(self) -> str:
        scaled = "scaled to length 1" if self.normalised else "not scaled"
        return f"pooling: {MODES[self.mode]}, {scaled} ({self.source})"

    def of(self, features: np.ndarray) -> np.ndarray:
        """The embedding [hidden] of a text with the features [tokens, hidden]."""
        if self.mode == "cls":
            pooled = features[0]
        else:
            pooled = features.mean(axis=0) if self.mode == "mean" else features.max(axis=0)
        if not self.normalised:
            return pooled
        return pooled / max(float(np.linalg.norm(pooled)), np.finfo(np.float32).tiny)


MEAN = Pooling("mean", normalised=True, source="assumed, as the model says none")
"""That of models that say none."""


def read_pooling(origin: Origin) -> Pooling:
    """The pooling of a model in sentence-transformers' format; `MEAN` for another.

    Raises:
        InputError: for files that cannot be read, and for a pooling that is not supported.
    """
    modules = origin.find(MODULES)
    if modules is not None:
        folder, normalised = _read_modules(modules)
        return Pooling(_read_mode(folder / "config.json"), normalised, str(folder / "config.json"))
    path = origin.find(POOLING)
    if path is None:
        return MEAN
    return Pooling(_read_mode(path), (path.parents[1] / NORMALISATION).exists(), str(path))


def _read_modules(path: Path) -> tuple[Path, bool]:
    """The folder of the pooling, and whether a normalisation follows it."""
    modules = parse_json(read_text(path, "file"), f"file {path}")
    try:
        kinds = [module["type"].rpartition(".")[2] for module in modules]
        folders = [path.parent / module["path"] for module in modules]
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"file {path} must list modules with type and path, as sentence-transformers does") from None
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        found = ", ".join(kinds) or "none"
        raise InputError(f"modules in {path} must be Transformer, Pooling and perhaps Normalize, not {found}")
    return folders[1], len(kinds) == 3


def _read_mode(path: Path) -> str:
    """The mode in the configuration of a pooling."""
    config: Any = parse_json(read_text(path, "pooling"), f"pooling {path}")
    if not isinstance(config, dict):
        raise InputError(f"pooling {path} must be a JSON object, as sentence-transformers writes it")
    found = [KEYS.get(key, key) for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if "pooling_mode" in config:
        found.append(config["pooling_mode"])
    if len(found) != 1 or found[0] not in tuple(MODES):  # which may be no string
        names = " and ".join(map(str, found)) or "none"
        raise InputError(f"pooling in {path} must be one of {', '.join(MODES)}, not {names}")
    return str(found[0])
