"""Beats: the raw words that travel on a stream, and their conversion to and from arrays of integers.

A *beat* is one transferred payload. An array of beats has the shape [n, words] and the type uint32; word 0 holds the
payload's bits 31..0. The bits above the payload's width are zero.

`pack` and `unpack` convert dense vectors of equal elements. `encode` and `decode` convert any Amaranth payload shape:

* a plain shape (``signed(8)``, an enumeration) is an integer: values are of shape [n];
* an ``ArrayLayout`` adds a dimension: a tile's values are of shape [n, rows, lanes];
* a ``StructLayout`` is a dictionary of its members' values, each of its own shape.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

_WORD = 32
_CHUNK_BITS = 1 << 24  # bits that are spread to a byte each at a time: bounds the memory of a conversion
_NATIVE: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def words(width: int) -> int:
    """How many 32-bit words a payload of `width` bits takes."""
    return -(-width // _WORD)


def pack(values: np.ndarray, width: int) -> np.ndarray:
    """Pack integers [n, elements] of `width` bits (element 0 lowest) into beats [n, words].

    Signed and unsigned values are both accepted. Raises ValueError if one does not fit in `width` bits.
    """
    values = np.asarray(values)
    if values.ndim != 2:
        raise ValueError(f"values to pack must have 2 dimensions [n, elements], not {values.ndim}")
    count, elements = values.shape
    _check_range(values, width, -(1 << width - 1), (1 << width) - 1)
    packed = np.zeros((count, words(elements * width) * 4), np.uint8)
    octets = -(-elements * width // 8)
    if width in _NATIVE:
        packed[:, :octets] = _little(values, _NATIVE[width]).view(np.uint8)
    else:
        step = max(1, _CHUNK_BITS // max(1, elements * width))
        for first in range(0, count, step):
            bits = _to_bits(values[first : first + step], width).reshape(-1, elements * width)
            packed[first : first + step, :octets] = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u4")


def unpack(beats: np.ndarray, width: int, elements: int, signed: bool) -> np.ndarray:
    """Unpack beats [n, words] into signed or unsigned integers [n, elements] of `width` bits (element 0 lowest).

    The result is int64; uint64 for unsigned elements of 64 bits; Python integers (dtype object) for wider ones.
    """
    beats = np.ascontiguousarray(beats, "<u4")
    count = len(beats)
    if beats.shape != (count, words(elements * width)):
        raise ValueError(f"beats must be of shape [n, {words(elements * width)}], not {list(beats.shape)}")
    raw = beats.view(np.uint8)
    if width in _NATIVE:
        dtype = np.dtype(f"<i{width // 8}" if signed else f"<u{width // 8}")
        values = np.ascontiguousarray(raw[:, : elements * width // 8]).view(dtype)
        return values if dtype == np.uint64 else values.astype(np.int64)
    step = max(1, _CHUNK_BITS // max(1, elements * width))
    parts = []
    for first in range(0, max(1, count), step):
        bits = np.unpackbits(raw[first : first + step], axis=1, bitorder="little", count=elements * width)
        parts.append(_from_bits(bits.reshape(-1, elements, width), signed))
    return np.concatenate(parts)


def encode(shape: Any, values: Any) -> np.ndarray:
    """Encode `values`, one a beat, as beats [n, words] of the Amaranth payload `shape`.

    `values` is an array or nested lists [n, ...] of integers, a dictionary of such, or a list with one layout constant
    (``layout.const(...)``, or what that accepts) a beat. Raises ValueError if they do not fit the shape.
    """
    width = Shape.cast(shape).width
    if isinstance(values, list | tuple) and any(isinstance(value, Mapping | data.Const) for value in values):
        constants = (value if isinstance(value, data.Const) else shape.const(value) for value in values)
        raw = np.array([constant.as_bits() for constant in constants], object).reshape(-1, 1)
        return pack(raw, width)
    scalar, dimensions = _dense(shape)
    if scalar is not None:
        values = np.asarray(values)
        if values.shape[1:] != dimensions and values.size:
            raise ValueError(f"values must be of shape {['n', *dimensions]}, not {list(values.shape)}")
        _check_shape(values, scalar)
        return pack(values.reshape(len(values), int(np.prod(dimensions, dtype=int))), scalar.width)
    bits = _encode_bits(shape, values)
    packed = np.zeros((len(bits), words(width) * 4), np.uint8)
    packed[:, : -(-width // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u4")


def decode(shape: Any, beats: np.ndarray) -> Any:
    """Decode beats [n, words] of the Amaranth payload `shape`: an array [n, ...], for structs a dictionary of them."""
    scalar, dimensions = _dense(shape)
    if scalar is not None:
        elements = int(np.prod(dimensions, dtype=int))
        return unpack(beats, scalar.width, elements, scalar.signed).reshape(len(beats), *dimensions)
    raw = np.ascontiguousarray(beats, "<u4").view(np.uint8)
    return _decode_bits(shape, np.unpackbits(raw, axis=1, bitorder="little", count=Shape.cast(shape).width))


def _layout(shape: Any) -> data.Layout | None:
    """The struct or array layout behind a payload shape; None for everything that counts as one integer."""
    if isinstance(shape, data.Layout) or (isinstance(shape, type) and issubclass(shape, data.Struct)):
        layout = data.Layout.cast(shape)
        return layout if isinstance(layout, data.ArrayLayout | data.StructLayout) else None
    return None


def _dense(shape: Any) -> tuple[Shape | None, tuple[int, ...]]:
    """The element and dimensions of a shape made of nested arrays of one plain shape; no element for others."""
    layout = _layout(shape)
    if layout is None:
        return Shape.cast(shape), ()
    if isinstance(layout, data.ArrayLayout):
        scalar, dimensions = _dense(layout.elem_shape)
        return scalar, (layout.length, *dimensions)
    return None, ()


def _encode_bits(shape: Any, values: Any) -> np.ndarray:
    """Values [...] of a shape as bits [..., width]."""
    layout = _layout(shape)
    if isinstance(layout, data.StructLayout):
        if not isinstance(values, Mapping) or set(values) != set(layout.members):
            given = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(f"values must be a dictionary of {sorted(layout.members)}, not {given}")
        fields = [_encode_bits(member, values[name]) for name, member in layout.members.items()]
        return np.concatenate(fields, axis=-1)
    if isinstance(layout, data.ArrayLayout):
        bits = _encode_bits(layout.elem_shape, values)
        if bits.shape[-2] != layout.length:
            raise ValueError(f"an array must have {layout.length} elements, not {bits.shape[-2]}")
        return bits.reshape(*bits.shape[:-2], -1)
    scalar = Shape.cast(shape)
    values = np.asarray(values)
    _check_shape(values, scalar)
    return _to_bits(values, scalar.width)


def _decode_bits(shape: Any, bits: np.ndarray) -> Any:
    """Bits [..., width] of a shape as its values [...]."""
    layout = _layout(shape)
    if isinstance(layout, data.StructLayout):
        fields = {}
        for name, field in layout:
            fields[name] = _decode_bits(field.shape, bits[..., field.offset : field.offset + field.width])
        return fields
    if isinstance(layout, data.ArrayLayout):
        width = Shape.cast(layout.elem_shape).width
        return _decode_bits(layout.elem_shape, bits.reshape(*bits.shape[:-1], layout.length, width))
    return _from_bits(bits, Shape.cast(shape).signed)


def _to_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Integers [...] as bits [..., width], lowest first; values of over 64 bits are Python integers."""
    if width <= 64:
        octets = _little(values, np.uint64)[..., None].view(np.uint8)[..., : -(-width // 8)]
    else:
        mask = (1 << width) - 1
        size = -(-width // 8)
        raw = b"".join((int(value) & mask).to_bytes(size, "little") for value in values.flat)
        octets = np.frombuffer(raw, np.uint8).reshape(*values.shape, size)
    return np.unpackbits(octets, axis=-1, bitorder="little", count=width)


def _from_bits(bits: np.ndarray, signed: bool) -> np.ndarray:
    """Bits [..., width], lowest first, as integers [...]."""
    width = bits.shape[-1]
    octets = np.packbits(bits, axis=-1, bitorder="little")
    if width > 64:
        flat = octets.reshape(-1, octets.shape[-1])
        values = np.array([int.from_bytes(row.tobytes(), "little") for row in flat], object).reshape(bits.shape[:-1])
        return values - (values >> width - 1 << width) if signed else values
    padded = np.zeros((*bits.shape[:-1], 8), np.uint8)
    padded[..., : octets.shape[-1]] = octets
    raw = padded.view("<u8")[..., 0]
    if signed:
        unused = 64 - width
        return (raw << np.uint64(unused)).view(np.int64) >> unused
    return raw.view(np.int64) if width < 64 else raw


def _little(values: np.ndarray, dtype: type[np.unsignedinteger[Any]]) -> np.ndarray:
    """Values modulo 2^bits of `dtype`, contiguous and little-endian."""
    if values.dtype == object:
        values = (values & ((1 << np.dtype(dtype).itemsize * 8) - 1)).astype(np.uint64)
    return np.ascontiguousarray(values.astype(np.dtype(dtype).newbyteorder("<")))


def _check_shape(values: np.ndarray, shape: Shape) -> None:
    if shape.signed:
        _check_range(values, shape.width, -(1 << shape.width - 1), (1 << shape.width - 1) - 1)
    else:
        _check_range(values, shape.width, 0, (1 << shape.width) - 1)


def _check_range(values: np.ndarray, width: int, lowest: int, highest: int) -> None:
    if values.size == 0:
        return
    if values.dtype.kind not in "iubO":
        raise ValueError(f"values must be integers, not {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < lowest or high > highest:
        raise ValueError(f"values must be {lowest} to {highest} ({width} bits), not {low if low < lowest else high}")
