"""The header of a channel of a memory image: a page of 4 KiB that says whose it is, and a checksum of what follows it.

The first 32 bytes of the page, little endian (the rest is 0):

    bytes 0..7     MAGIC
    bytes 8..15    the hash of the design that reads the channel
    bytes 16..19   the number of the channel in the design
    bytes 20..23   the beats of the contents, which begin after the page
    bytes 24..31   the checksum of the contents

The checksum finds any beat that is missing, doubled, moved or changed in one place. A beat has 16 words of 32 bits;
word i is rotated to the left by 2 i bits, and f is the exclusive or of all of them. With a = f_1 + f_2 + ... + f_n and
b = a_1 + a_2 + ... + a_n (the sums up to each beat, modulo 2^32), the checksum is a + 2^32 b.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..channel import BEAT_BYTES
from ..kernels.fetch import PAGE_BEATS

__all__ = ["HEADER_BEATS", "IMAGE", "MAGIC", "WORDS", "Checksum", "Header", "rotation"]

MAGIC = int.from_bytes(b"SPATIAL1", "little")

HEADER_BEATS = PAGE_BEATS
"""Beats of a header: a page, so that bursts of the contents begin where pages do."""

IMAGE = "spatial-llm memory image"
"""The entry of the metadata of an image's file that has the kernel's description."""

WORDS = BEAT_BYTES // 4
"""Words of a beat for the checksum."""


def rotation(word: int) -> int:
    """The bits by which a word of a beat is rotated to the left."""
    return 2 * word


class Checksum:
    """The checksum of beats that come piece by piece."""

    def __init__(self) -> None:
        self._first, self._second, self.beats = 0, 0, 0

    def add(self, beats: np.ndarray) -> None:
        """More beats, uint8 [n, 64]."""
        if not len(beats):
            return
        words = np.ascontiguousarray(beats).view("<u4")
        folded = words[:, 0].copy()
        for word in range(1, WORDS):
            turn = np.uint32(rotation(word))
            folded ^= words[:, word] << turn | words[:, word] >> (np.uint32(32) - turn)
        sums = np.cumsum(folded, dtype=np.uint32) + np.uint32(self._first)
        self._second = (self._second + int(sums.sum(dtype=np.uint64))) & 0xFFFF_FFFF
        self._first = int(sums[-1])
        self.beats += len(beats)

    @property
    def value(self) -> int:
        """The checksum, 64 bits."""
        return self._first | self._second << 32

    @classmethod
    def of(cls, parts: Iterable[np.ndarray]) -> "Checksum":
        """The checksum of the parts together."""
        checksum = cls()
        for part in parts:
            checksum.add(part)
        return checksum


@dataclass(frozen=True, kw_only=True)
class Header:
    """A channel's header: ``design_hash`` (64 bits), the ``channel``'s number, the ``beats`` of its contents and their
    ``checksum``."""

    design_hash: int
    channel: int
    beats: int
    checksum: int

    @property
    def page(self) -> np.ndarray:
        """The page, uint8 [64, 64]."""
        page = np.zeros(HEADER_BEATS * BEAT_BYTES, np.uint8)
        words = (MAGIC, self.design_hash, self.channel | self.beats << 32, self.checksum)
        page[:32] = np.array(words, "<u8").view(np.uint8)
        return page.reshape(HEADER_BEATS, BEAT_BYTES)
