"""Networks by name or from a file: presets, Hugging Face configurations, and YAML files like the presets."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..builtin import built_in, read_built_in, suggestion
from ..errors import InputError, shown
from .configuration import Configuration
from .families import FAMILIES, LOADED, of_families
from .files import YAML, read_values
from .gguf import GGUF, open_gguf
from .network import Network

__all__ = ["load_model", "load_network", "networks", "presets"]


@cache
def networks() -> tuple[str, ...]:
    """The names of the built-in networks."""
    return tuple(sorted(built_in(__package__, "presets")))


@cache
def presets() -> tuple[str, ...]:
    """The names of the built-in networks whose weights can be read."""
    return tuple(name for name in networks() if _preset(name)["family"] in LOADED)


def load_network(name_or_path: str, known: Collection[str] | None = None) -> Network:
    """The built-in network of that name, or that of a `config.json`, of a folder with one, of a GGUF file, or of a YAML
    file like a built-in one's.

    ``known``: the names that an error tells, by default all.

    Raises:
        InputError: for an unknown name, and for a file that is not there, not readable, or not of a network that is
            known.
    """
    if name_or_path in networks():
        return of_mapping(name_or_path, _preset(name_or_path), f"preset {name_or_path!r}")
    if name_or_path.endswith(GGUF):
        file = open_gguf(Path(name_or_path))
        return Configuration.of(file.configuration, name_or_path).network(file.path.stem)
    name, path, values = read_values(name_or_path, known or networks())
    if path.suffix in YAML:
        return of_mapping(name, values, str(path))
    return Configuration.of(values, str(path)).network(name)


def load_model(name_or_path: str) -> Network:
    """As `load_network`, for a network whose weights can be read.

    Raises:
        InputError: see `load_network`; and for a network of a family that is only estimated.
    """
    network = load_network(name_or_path, presets())
    if network.family not in LOADED:
        families = of_families(LOADED)
        raise InputError(
            f"model {network.name!r} must be of the family {families}, not {network.family}; estimate knows it"
        )
    return network


def of_mapping(name: str, values: Any, source: str) -> Network:
    """The network of a YAML file's ``values``, which must be exactly the fields of its family; ``source`` is named in
    errors.

    Raises:
        InputError: for what is no mapping, and for a field that is unknown, missing or wrong.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{source} must be a mapping of fields to values, not {shown(values)}")
    if "family" not in values:
        raise InputError(f"{source} lacks the field 'family', which must be {of_families()}")
    family = values["family"]
    if family not in tuple(FAMILIES):
        raise InputError(f"family of model {name!r} must be {of_families()}, not {shown(family)}")
    keys, given = FAMILIES[family].keys, {key: value for key, value in values.items() if key != "family"}
    known = keys.fields.union(keys.extras.values())
    for key in given:
        if key not in known:
            raise InputError(f"{source} has an unknown field {shown(key)}{suggestion(str(key), known)}")
    if missing := sorted(keys.fields - given.keys()):
        raise InputError(f"{source} lacks the field {missing[0]!r}")
    return Network.of(name, family, given)


def _preset(name: str) -> Any:
    return read_built_in(__package__, "presets", name, "preset")
