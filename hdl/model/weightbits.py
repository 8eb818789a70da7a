"""Bits of a decoder's weights in memory, product by product."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from ..errors import InputError

__all__ = ["INTEGERS", "W4", "W8", "WeightBits"]


BUILT, INTEGERS = (8, 4), (8, 5, 4)
"""Bits of weights that hardware takes, and those that integers can be made of."""


@dataclass(frozen=True, repr=False)
class WeightBits:
    """``bits`` of the weights of all products: 8, or 4 or 5 in groups that share a factor. The products named ``int8``
    have 8 bits beside the others."""

    bits: int = 8
    int8: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bits: int, int8: Collection[str] = (), *, known: tuple[int, ...] = BUILT) -> Self:
        """See the class. ``known``: the bits to choose from.

        Raises:
            InputError: for other bits, and for names beside 8 bits.
        """
        if bits not in known:
            *first, last = known
            raise InputError(f"weight-bits must be {', '.join(map(str, first))} or {last}, not {bits}")
        if bits == 8 and int8:
            raise InputError("int8 must go with weight-bits 4, not with 8, which is that of all products; leave it out")
        return cls(bits, frozenset(int8))

    def __getitem__(self, product: str) -> int:
        """The bits of a product's weights."""
        return 8 if product in self.int8 else self.bits

    @property
    def packed(self) -> bool:
        """Whether any weights have fewer than 8 bits."""
        return self.bits < 8

    def check(self, products: Collection[str], *, causal: bool) -> None:
        """Refuses what a network with these products cannot have.

        Raises:
            InputError: for 4 bits in an encoder, and for names that are unknown, or all that there are.
        """
        if self.packed and not causal:
            raise InputError(f"weight-bits of an encoder must be 8, not {self.bits}; only a decoder's may be less")
        if unknown := sorted(self.int8.difference(products)):
            raise InputError(f"int8 must be of {', '.join(products)}, not {unknown[0]!r}")
        if self.int8.issuperset(products):
            raise InputError(
                f"int8 must leave a product its {self.bits} bits, not name all of them; use weight-bits 8 instead"
            )

    def __str__(self) -> str:
        """``8 bits``, ``4 bits``, or ``4 bits but 8 of head``."""
        return f"{self.bits} bits" + (f" but 8 of {' and '.join(sorted(self.int8))}" if self.int8 else "")

    def __repr__(self) -> str:
        """The same in every run, whatever the order of the set."""
        return f"WeightBits({self})"


W8, W4 = WeightBits(8), WeightBits(4)
"""The same for all products."""
