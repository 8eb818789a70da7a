"""Models in files of the user: YAML like the built-in ones, and the `config.json` of Hugging Face."""

import json
from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any

import yaml

from ..builtin import suggestion
from ..errors import InputError

__all__ = ["check_fields", "model_type", "read_values"]


def read_values(name_or_path: str, known: Collection[str]) -> tuple[str, Path, Any]:
    """The name of the model in a `config.json`, in a folder with one, or in a YAML file; the file; and its contents.

    Raises:
        InputError: for what is no path, as an unknown name beside the ``known`` ones, and for a file that is not there
            or not readable.
    """
    path = Path(name_or_path)
    if path.is_dir():
        path /= "config.json"
    elif not path.exists() and path.suffix not in (".json", ".yaml"):
        unknown = f"model {name_or_path!r} is unknown{suggestion(name_or_path, known)}"
        raise InputError(f"{unknown}; known: {', '.join(known)}, or a path to a config.json")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"model file {path} cannot be read: {reason}") from None
    try:
        values = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(
            f"model file {path} must be valid {path.suffix[1:].upper()}: {' '.join(str(error).split())}"
        ) from None
    return path.resolve().parent.name if path.name == "config.json" else path.stem, path, values


def model_type(config: Any, source: str) -> Any:
    """The architecture that a Hugging Face `config.json` says it is of; ``source`` is named in errors.

    Raises:
        InputError: for contents that say none.
    """
    if not isinstance(config, Mapping) or "model_type" not in config:
        raise InputError(
            f"{source} must be a Hugging Face configuration with a model_type; take the file beside the weights"
        )
    return config["model_type"]


def check_fields(values: Any, known: Set[str], source: str) -> None:
    """Refuses ``values`` that are not a mapping of exactly the ``known`` fields; ``source`` is named in errors.

    Raises:
        InputError: for what is no mapping, and for keys that are unknown or missing.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{source} must be a mapping of fields to values, not {type(values).__name__}")
    for key in values:
        if key not in known:
            raise InputError(f"{source} has an unknown field {key!r}{suggestion(str(key), known)}")
    if missing := sorted(known - set(values)):
        raise InputError(f"{source} lacks the field {missing[0]!r}")
