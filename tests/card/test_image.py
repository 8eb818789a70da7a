import numpy as np
import pytest

from hdl.card.image import HEADER_BEATS, MAGIC, Checksum, Header


def beats(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64), np.uint8)


def slow(given: np.ndarray) -> int:
    """The checksum as the module's text has it."""
    first = second = 0
    for beat in given:
        folded = 0
        for i, word in enumerate(beat.view("<u4")):
            turned = int(word) << 2 * i
            folded ^= (turned | turned >> 32) & 0xFFFF_FFFF
        first = (first + folded) % 2**32
        second = (second + first) % 2**32
    return first | second << 32


@pytest.mark.parametrize("count", [1, 2, 65, 1000])
def test_the_checksum_is_the_documented_one(count: int) -> None:
    assert Checksum.of([beats(count)]).value == slow(beats(count))


def test_pieces_give_the_checksum_of_the_whole() -> None:
    whole = beats(300)
    pieces = Checksum.of([whole[:1], whole[1:1], whole[1:200], whole[200:]])
    assert (pieces.value, pieces.beats) == (Checksum.of([whole]).value, 300)


def test_the_checksum_finds_what_happens_to_an_image() -> None:
    whole = beats(200)
    right = Checksum.of([whole]).value
    swapped, moved, words = whole.copy(), np.roll(whole, 1, axis=0), whole.copy()
    swapped[[3, 150]] = swapped[[150, 3]]
    words[7] = np.roll(words[7], 4)
    zeros = whole.copy()
    zeros[-1] = 0
    bit = whole.copy()
    bit[99, 63] ^= 0x80
    for wrong in (swapped, moved, words, zeros, bit, whole[:-1], np.concatenate([whole, whole[-1:]])):
        assert Checksum.of([wrong]).value != right


def test_the_page_of_a_header() -> None:
    page = Header(design_hash=0x1122334455667788, channel=3, beats=77, checksum=0x99AABBCCDDEEFF00).page
    assert page.shape == (HEADER_BEATS, 64)
    assert page.ravel()[:32].view("<u8").tolist() == [MAGIC, 0x1122334455667788, 3 | 77 << 32, 0x99AABBCCDDEEFF00]
    assert not page.ravel()[32:].any()
