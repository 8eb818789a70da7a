"""The families of networks by the ``model_type`` of their configurations: all that modules of this package have."""

from importlib import import_module
from pkgutil import iter_modules

from ..family import Family

__all__ = ["FAMILIES", "LOADED", "of_families"]

_MODULES = [import_module(f".{module.name}", __package__) for module in iter_modules(__path__)]

FAMILIES: dict[str, Family] = {
    own.name: own for module in _MODULES for own in vars(module).values() if isinstance(own, Family)
}

LOADED: tuple[str, ...] = tuple(name for name, family in FAMILIES.items() if family.layout)
"""The families whose weights can be read; the others are only estimated."""


def of_families(names: tuple[str, ...] = tuple(FAMILIES)) -> str:
    """'bert, gpt2 or vit': the names of families in a sentence."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
