"""The resources of an FPGA that a piece of hardware takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil

__all__ = ["Resources", "ram_blocks"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Counts of DSP48E2, BRAM36 (a half counts 0.5), URAM288, LUT6 and flip-flops.

    They can be added, and multiplied by an integer.
    """

    dsp: int = 0
    bram36: float = 0
    uram: int = 0
    lut: int = 0
    ff: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            dsp=self.dsp + other.dsp, bram36=self.bram36 + other.bram36, uram=self.uram + other.uram,
            lut=self.lut + other.lut, ff=self.ff + other.ff,
        )  # fmt: skip

    def __mul__(self, times: int) -> "Resources":
        return Resources(**{k: v * times for k, v in vars(self).items()})

    __rmul__ = __mul__

    def __iter__(self) -> Iterator[float]:
        return iter((self.dsp, self.bram36, self.uram, self.lut, self.ff))


BLOCK_SHAPES = (
    (72, 512, 2),
    *((bits, words, 1) for bits, words in ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))),
    *((bits, words, 2) for bits, words in ((36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))),
)
"""The shapes of a RAMB18E2 and a RAMB36E2: bits, words, and halves of a BRAM36."""


@cache
def block_halves(width: int, depth: int) -> int:
    """Halves of a RAMB36E2 for a RAM: whole rows of one shape, and the rest of the depth in the shape best for it.

    Yosys maps the same for most sizes of up to 2,048 words. For deeper ones it may take a half less, or up to a tenth
    more.
    """
    return min(
        max(depth // words, 1) * ceil(width / bits) * halves
        + (block_halves(width, depth % words) if depth > words and depth % words else 0)
        for bits, words, halves in BLOCK_SHAPES
    )


DISTRIBUTED_SHAPES = ((14, 32), (7, 64))
"""Bits and words of eight LUTs as a simple dual-port RAM: a RAM32M16 or a RAM64M8."""


def ram_blocks(width: int, depth: int, style: str) -> Resources:
    """The resources of a simple dual-port RAM of ``depth`` words of ``width`` bits without registers, as Yosys maps it.

    ``ultra``: a URAM288 has 4,096 words of 72 bits. ``block``: see `block_halves`. ``distributed``: see
    `DISTRIBUTED_SHAPES`; if several follow each other in depth, a multiplexer with a LUT6 for each three.

    Raises:
        ValueError: for an unknown style.
    """
    if style == "ultra":
        return Resources(uram=ceil(width / 72) * ceil(depth / 4096))
    if style == "block":
        return Resources(bram36=block_halves(width, depth) / 2)
    if style == "distributed":
        layers = {(bits, words): ceil(depth / words) for bits, words in DISTRIBUTED_SHAPES}
        luts = (8 * ceil(width / bits) * n + width * ceil((n - 1) / 3) for (bits, _), n in layers.items())
        return Resources(lut=min(luts))
    raise ValueError(f"RAM style must be ultra, block or distributed, not {style!r}")
