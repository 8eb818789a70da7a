"""A Hugging Face `config.json`: its family, its shape, and whether it is the plain network of that family."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from ..errors import InputError, shown
from ..notices import notify
from .families import FAMILIES, of_families
from .family import Family, FamilyKeys
from .network import Network

__all__ = ["Configuration"]

NAMED = 8
"""Keys that a sentence names at most."""

SIZE_NAMES = {"hidden": "hidden size", "heads": "number of heads", "head_size": "size of its heads"}


@dataclass(frozen=True)
class Configuration:
    """The contents of a `config.json`, without keys that are null or empty; ``source`` is named in errors."""

    family: Family
    source: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, contents: Any, source: str) -> Self:
        """The configuration in the contents of a file. Without a model_type, its classes or its keys tell the family.

        Raises:
            InputError: for what is no configuration, for a family that is not known, and for keys that make another
                network than the plain one of that family.
        """
        if not isinstance(contents, Mapping):
            raise InputError(f"{source} must be a Hugging Face configuration, a JSON object, not {shown(contents)}")
        values = {key: value for key, value in contents.items() if not _nothing(value)}
        name = values["model_type"] if "model_type" in values else _recognised(values, source)
        if name not in tuple(FAMILIES):
            raise InputError(f"model_type in {source} must be {of_families()}, not {shown(name)}")
        family = FAMILIES[name]
        values = family.keys.unfold(_renamed(values, family.keys, source), source)
        for key, plain in family.keys.plain.items():
            value = values.get(key)
            if value is not None and not all(one in plain for one in (value if isinstance(value, list) else [value])):
                allowed = " or ".join([*map(shown, plain), "left out"])
                raise InputError(
                    f"{key} in {source} must be {allowed}, not {shown(value)}; "
                    f"it makes another network than a plain {family.title}"
                )
        return cls(family, source, values)

    def network(self, name: str) -> Network:
        """The network; tells which keys are ignored and which values are Hugging Face's.

        Raises:
            InputError: for a key that is missing, and for a number that is wrong.
        """
        keys, values = self.family.keys, self.values
        if missing := [key for key in keys.shape if key not in values]:
            raise InputError(f"{self.source} lacks the field {missing[0]!r}")
        given = dict(keys.defaults.values())
        defaults = {key: field for key, (field, _) in keys.defaults.items()}
        places = {**keys.shape, **defaults, **keys.derived, **keys.extras}
        given |= {field: values[key] for key, field in places.items() if key in values}
        found = Network.of(name, self.family.name, given)
        for key, field in keys.same.items():
            if key in values and values[key] != (size := getattr(found, field)):
                raise InputError(
                    f"{key} in {self.source} must be {size}, the model's {SIZE_NAMES[field]}, not {shown(values[key])}"
                )
        self._tell(places.keys())
        return found

    def _tell(self, places: Collection[str]) -> None:
        """Tells what of it is assumed or ignored. ``places``: the keys that the shape was made of."""
        keys, values, title = self.family.keys, self.values, self.family.title
        if "model_type" not in values:
            notify(f"{self.source} has no model_type; it is read as {title}'s, as its other keys say")
        if left_out := [f"{key} {shown(own)}" for key, (_, own) in keys.defaults.items() if key not in values]:
            defaults = ", ".join(left_out)
            notify(f"{self.source} leaves out what Hugging Face has defaults for; they are used: {defaults}")
        plain = f"the network is taken for a plain {title}"
        if others := [name for name in _classes(values, self.source) if not re.fullmatch(keys.classes, name)]:
            notify(f"{self.source} is of the class {_named(others)}, which is not known; {plain}")
        known = (*places, *keys.plain, *keys.same, *keys.harmless.split())
        if unknown := [key for key in values if not any(fnmatchcase(key, pattern) for pattern in known)]:
            notify(f"{self.source} has keys that are not known and are ignored: {_named(unknown)}; {plain}")


def _nothing(value: Any) -> bool:
    """Whether a value says nothing: null, an empty list or object, or an object of such."""
    parts = value.values() if isinstance(value, Mapping) else ()
    return value is None or value in ([], {}) or (bool(parts) and all(part in (None, [], {}) for part in parts))


def _recognised(values: Mapping[str, Any], source: str) -> str:
    """The family of a configuration without a model_type: by its classes, else by keys that only one family has."""
    if classes := _classes(values, source):
        found = [name for name, own in FAMILIES.items() if re.fullmatch(own.keys.classes, classes[0])]
        if not found:
            raise InputError(
                f"{source} has no model_type, which must be {of_families()}, and is of the class {shown(classes[0])}"
            )
        return found[0]
    for name, own in FAMILIES.items():
        if own.keys.marks & values.keys():
            return name
    raise InputError(
        f"{source} must be a Hugging Face configuration with a model_type; take the file beside the weights"
    )


def _classes(values: Mapping[str, Any], source: str) -> list[str]:
    """The names of the classes that the checkpoint was made for."""
    found = values.get("architectures", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"architectures in {source} must be a list of names, not {shown(found)}")
    return found


def _renamed(values: Mapping[str, Any], keys: FamilyKeys, source: str) -> dict[str, Any]:
    """The values by the family's own keys."""
    found = dict(values)
    for alias, key in keys.aliases.items():
        if alias in found:
            value, own = found.pop(alias), found.get(key)
            if own is not None and not (type(own) is type(value) is int and own == value):
                both = f"{shown(own)} and {shown(value)}"
                raise InputError(f"{key} and {alias} in {source} must be the same number, not {both}")
            found[key] = value
    return found


def _named(names: Collection[str]) -> str:
    """Names in a sentence, not too many of them."""
    first, more = [shown(name) for name in names][:NAMED], len(names) - NAMED
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
