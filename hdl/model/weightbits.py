"""Bits of a decoder's weights in memory, product by product."""

from collections.abc import Collection
from typing import Literal, NamedTuple, Self

from ..errors import InputError

__all__ = ["W4", "W8", "WeightBits"]

Bits = Literal[4, 8]


class WeightBits(NamedTuple):
    """Bits of the weights of each product, in the order of a token's way: 8, or 4 in groups that share a factor."""

    qkv: Bits = 8
    projection: Bits = 8
    ffn1: Bits = 8
    ffn2: Bits = 8
    head: Bits = 8

    @classmethod
    def of(cls, bits: int, int8: Collection[str] = ()) -> Self:
        """``bits`` for all products, 8 or 4; but 8 for those named ``int8``.

        Raises:
            InputError: for other bits, and for names that are unknown, all that there are, or beside 8 bits.
        """
        if bits not in (4, 8):
            raise InputError(f"weight-bits must be 8 or 4, not {bits}")
        for name in int8:
            if name not in cls._fields:
                raise InputError(f"int8 must be of {', '.join(cls._fields)}, not {name!r}")
        if bits == 8 and int8:
            raise InputError("int8 must go with weight-bits 4, not with 8, which is that of all products; leave it out")
        if bits == 4 and not set(cls._fields) - set(int8):
            raise InputError("int8 must leave a product its 4 bits, not name all of them; use weight-bits 8 instead")
        return cls.packing([name for name in cls._fields if bits == 4 and name not in int8])

    @classmethod
    def packing(cls, products: Collection[str]) -> Self:
        """4 for these products, 8 for the others."""
        bits: list[Bits] = [4 if name in products else 8 for name in cls._fields]
        return cls(*bits)

    @property
    def packed(self) -> bool:
        """Whether any weights have 4 bits."""
        return 4 in self

    def check_encoder(self) -> None:
        """Refuses what an encoder's weights cannot have.

        Raises:
            InputError: for any of 4 bits.
        """
        if self.packed:
            raise InputError("weight-bits of an encoder must be 8, not 4; only a decoder's may be 4")

    def __str__(self) -> str:
        """``8 bits``, ``4 bits``, or ``4 bits but 8 of head``."""
        wide = [name for name, bits in self._asdict().items() if bits == 8]
        return f"{min(self)} bits" + (f" but 8 of {' and '.join(wide)}" if self.packed and wide else "")


W8, W4 = WeightBits(), WeightBits.of(4)
"""The same for all products."""
