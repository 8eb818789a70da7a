"""The families of networks, by the ``model_type`` of their configurations."""

from ..family import Family
from .bert import BERT
from .gpt2 import GPT2
from .llama import LLAMA
from .opt import OPT
from .vit import DEIT, VIT

__all__ = ["BUILT", "FAMILIES", "of_families"]

FAMILIES: dict[str, Family] = {family.name: family for family in (BERT, GPT2, OPT, LLAMA, VIT, DEIT)}

BUILT: tuple[str, ...] = tuple(name for name, family in FAMILIES.items() if family.layout)
"""The families of which hardware can be made."""


def of_families(names: tuple[str, ...] = tuple(FAMILIES)) -> str:
    """'bert, gpt2, opt or llama': the names of families in a sentence."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
