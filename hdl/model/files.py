"""Models in files of the user: YAML like the built-in ones, and the `config.json` of Hugging Face."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..builtin import suggestion
from ..errors import InputError, shown
from ..textfile import parse_json, read_text
from ..yamltext import parse_yaml

__all__ = ["YAML", "read_values"]

YAML = (".yaml", ".yml")
"""How the names of YAML files end."""

MOST_BYTES = 1_000_000
"""Of a file that describes a model: published ones have below 100,000."""


def read_values(name_or_path: str, known: Collection[str]) -> tuple[str, Path, Any]:
    """The name of the model in a `config.json`, in a folder with one, or in a YAML file; the file; and its contents.

    The name is the folder's or the file's, with ``_`` for what cannot be printed: it goes into tables and files.

    Raises:
        InputError: for what is no path, as an unknown name beside the ``known`` ones, and for a file that is not there
            or not readable.
    """
    path = Path(name_or_path)
    try:
        if path.is_dir():
            path /= "config.json"
        elif not path.exists() and path.suffix not in (".json", *YAML):
            unknown = f"model {shown(name_or_path)} is unknown{suggestion(name_or_path, known)}"
            raise InputError(f"{unknown}; known: {', '.join(known)}, or a path to a config.json")
        size = path.stat().st_size if path.is_file() else 0
    except OSError as error:
        raise InputError(f"model file {shown(name_or_path)} cannot be read: {error.strerror}") from None
    if size > MOST_BYTES:
        raise InputError(
            f"model file {path} must be a config.json or YAML of at most {MOST_BYTES:,} bytes, not {size:,}; "
            "give the config.json beside the weights"
        )
    parse = parse_yaml if path.suffix in YAML else parse_json
    values = parse(read_text(path, "model file"), f"model file {path}")
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return "".join(character if character.isprintable() else "_" for character in name), path, values
