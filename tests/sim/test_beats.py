"""Beats: every payload shape there and back, and the exact bits."""

import numpy as np
import pytest
from amaranth.hdl import Const, signed, unsigned
from amaranth.lib import data, enum

from sim import beats

FACTOR = data.StructLayout({"mantissa": unsigned(17), "exponent": signed(5)})


class Kind(enum.Enum, shape=unsigned(3)):
    """A payload that is an enumeration."""

    FIRST = 1
    LAST = 6


def random_values(shape, count, rng):
    """Random values of any shape, with both ends of its range among them."""
    if isinstance(shape, data.StructLayout):
        return {name: random_values(member, count, rng) for name, member in shape.members.items()}
    if isinstance(shape, data.ArrayLayout):
        return random_values(shape.elem_shape, (*np.atleast_1d(count), shape.length), rng)
    low, high = (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (0, (1 << shape.width) - 1)
    values = rng.integers(low, high, count, dtype=np.int64 if shape.signed else np.uint64, endpoint=True)
    values.flat[0], values.flat[-1] = low, high
    return values


def flatten(values):
    """The arrays in a tree of values, by path."""
    if isinstance(values, dict):
        return {(name, *path): array for name in values for path, array in flatten(values[name]).items()}
    return {(): values}


@pytest.mark.parametrize("width", [1, 3, 5, 8, 16, 17, 27, 31, 32, 33, 63, 64])
@pytest.mark.parametrize("elements", [1, 3, 8])
@pytest.mark.parametrize("is_signed", [False, True])
def test_pack_and_unpack_are_inverse(width, elements, is_signed):
    shape = signed(width) if is_signed else unsigned(width)
    values = random_values(data.ArrayLayout(shape, elements), 7, np.random.default_rng(width))
    packed = beats.pack(values, width)
    assert packed.dtype == np.uint32
    assert packed.shape == (7, -(-width * elements // 32))
    assert (beats.unpack(packed, width, elements, is_signed) == values).all()


def test_pack_puts_element_0_lowest():
    assert beats.pack(np.array([[1, 2, 3, -1]]), 12).tolist() == [[0x03002001, 0xFFF0]]
    assert beats.pack(np.array([[1, 2, 3, 4, 5]]), 8).tolist() == [[0x04030201, 5]]


def test_conversion_in_chunks(monkeypatch):
    values = np.random.default_rng(0).integers(-(1 << 26), 1 << 26, (100, 3))
    whole = beats.pack(values, 27)
    monkeypatch.setattr(beats, "_CHUNK_BITS", 1000)
    assert (beats.pack(values, 27) == whole).all()
    assert (beats.unpack(whole, 27, 3, True) == values).all()


def test_no_beats():
    assert beats.pack(np.zeros((0, 3), int), 27).shape == (0, 3)
    assert beats.unpack(np.zeros((0, 3), np.uint32), 27, 3, True).shape == (0, 3)
    assert beats.encode(unsigned(8), []).shape == (0, 1)
    assert beats.encode(data.ArrayLayout(8, 5), []).shape == (0, 2)
    assert beats.decode(data.ArrayLayout(8, 5), np.zeros((0, 2), np.uint32)).shape == (0, 5)


@pytest.mark.parametrize(
    "shape",
    [
        unsigned(1),
        signed(27),
        unsigned(64),
        data.ArrayLayout(data.ArrayLayout(signed(8), 3), 4),
        data.ArrayLayout(data.ArrayLayout(signed(17), 5), 1),
        FACTOR,
        data.ArrayLayout(FACTOR, 3),
        data.StructLayout(
            {"tile": data.ArrayLayout(data.ArrayLayout(signed(8), 2), 2), "factors": data.ArrayLayout(FACTOR, 2)}
        ),
    ],
    ids=repr,
)
def test_encode_and_decode_are_inverse(shape):
    values = random_values(shape, 9, np.random.default_rng(1))
    decoded = beats.decode(shape, beats.encode(shape, values))
    wanted, found = flatten(values), flatten(decoded)
    assert wanted.keys() == found.keys()
    assert all((wanted[path] == found[path]).all() for path in wanted)


def test_encode_gives_the_bits_of_amaranth():
    layout = data.StructLayout({"tile": data.ArrayLayout(data.ArrayLayout(signed(5), 3), 2), "factor": FACTOR})
    one = {"tile": [[-16, 1, 2], [3, 4, 15]], "factor": {"mantissa": 70_000, "exponent": -9}}
    bits = layout.const(one).as_bits()
    columns = {"tile": [one["tile"]], "factor": {"mantissa": [70_000], "exponent": [-9]}}
    for values in (columns, [one], [layout.const(one)]):
        assert beats.encode(layout, values).tolist() == [[bits & 0xFFFFFFFF, bits >> 32]]


def test_payloads_wider_than_64_bits():
    values = [(1 << 99) + 12345, 0, (1 << 100) - 1]
    assert beats.decode(unsigned(100), beats.encode(unsigned(100), values)).tolist() == values
    negative = [-(1 << 99), -1, (1 << 99) - 1]
    assert beats.decode(signed(100), beats.encode(signed(100), negative)).tolist() == negative


def test_enumerations_are_integers():
    assert beats.decode(Kind, beats.encode(Kind, [Kind.FIRST.value, Kind.LAST.value])).tolist() == [1, 6]


def test_struct_classes_are_structs():
    class Pair(data.Struct):
        low: unsigned(4)
        high: signed(4)

    raw = beats.encode(Pair, {"low": [15], "high": [-1]})
    assert raw.tolist() == [[Pair.const({"low": 15, "high": -1}).as_bits()]]
    assert beats.decode(Pair, raw)["high"].tolist() == [-1]


def test_amaranth_constants_are_taken():
    assert beats.encode(signed(4), [Const(-3, signed(4)).value]).tolist() == [[13]]


@pytest.mark.parametrize(
    ("shape", "values", "message"),
    [
        (signed(8), [0, 128], "values must be -128 to 127 (8 bits), not 128"),
        (unsigned(8), [-1], "values must be 0 to 255 (8 bits), not -1"),
        (unsigned(8), [0.5], "values must be integers, not float64"),
        (data.ArrayLayout(unsigned(4), 3), [[1, 2]], "values must be of shape ['n', 3], not [1, 2]"),
        (data.ArrayLayout(FACTOR, 2), {"mantissa": [[1]], "exponent": [[1]]}, "an array must have 2 elements, not 1"),
        (FACTOR, {"mantissa": [1]}, "values must be a dictionary of ['exponent', 'mantissa'], not ['mantissa']"),
    ],
)
def test_what_does_not_fit_is_refused(shape, values, message):
    with pytest.raises(ValueError) as error:
        beats.encode(shape, values)
    assert str(error.value) == message


def test_wrong_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"^values to pack must have 2 dimensions \[n, elements\], not 1$"):
        beats.pack(np.arange(3), 8)
    with pytest.raises(ValueError, match=r"^beats must be of shape \[n, 2\], not \[3, 1\]$"):
        beats.unpack(np.zeros((3, 1), np.uint32), 8, 5, False)
