"""A struct of arrays in a MATLAB file of level 5, the part of that format that ECG sets use.

Format: MathWorks, "MAT-File Format", chapter 1. Nothing is allocated for a size that a file only
claims, and objects, functions and references in it are passed over. scipy.io.loadmat, the oracle of
the tests, ends the process with a segmentation fault on some damaged files.
"""

import math
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

LARGEST_FILE = 2**26
"""Most bytes of a file that is read, and of what its variables expand to, all together."""

_HEADER_BYTES = 128
_LITTLE_ENDIAN = b"IM"
_SMALL = 4
_BLOCK = 8

_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Data types (table 1-1) that hold numbers."""
_MATRIX, _COMPRESSED = 14, 15
_ENCODINGS = {1: "utf-8", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
"""Data types that hold text, and how."""
_STRUCT, _CHARACTERS, _NUMERIC = 2, 4, range(6, 16)
"""Array classes (table 1-3)."""
_COMPLEX = 0x0800


class Mat5Error(ValueError):
    """The file is damaged, or of another kind."""


class _Element(NamedTuple):
    type: int
    data: memoryview


class _Array(NamedTuple):
    kind: int
    shape: tuple[int, ...]
    rest: Iterator[_Element]


def read_struct(content: bytes) -> dict[str, np.ndarray | str]:
    """Return the numeric arrays and texts among the fields of the first struct in a file.

    Raises Mat5Error for a file that is damaged or has no struct.
    """
    order = content[_HEADER_BYTES - 2 : _HEADER_BYTES]
    if order != _LITTLE_ENDIAN or len(content) > LARGEST_FILE:
        raise Mat5Error(f"{len(content)} bytes, too many or no little-endian MAT-file of level 5")
    for element in _matrices(memoryview(content)[_HEADER_BYTES:]):
        array = _array(element)
        if array and array.kind == _STRUCT and math.prod(array.shape) == 1:
            return _fields(array.rest)
    raise Mat5Error("no struct in it")


def _matrices(data: memoryview) -> Iterator[_Element]:
    """Yield the variables of a file, those expanded that are compressed."""
    budget = LARGEST_FILE
    for element in _elements(data):
        if element.type == _COMPRESSED:
            expanded = _expand(element.data, budget)
            budget -= len(expanded)
            yield from _elements(memoryview(expanded))
        else:
            yield element


def _expand(data: memoryview, budget: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        expanded = stream.decompress(data, budget + 1)
    except zlib.error as error:
        raise Mat5Error(f"compressed data: {error}") from None
    if len(expanded) > budget or not stream.eof:
        raise Mat5Error("compressed data that are cut short, or expand too far")
    return expanded


def _elements(data: memoryview) -> Iterator[_Element]:
    """Yield data elements, each a type, a number of bytes and these bytes."""
    start = 0
    while start < len(data):
        if len(data) - start < _BLOCK:
            raise Mat5Error(f"{len(data) - start} bytes left over")
        first, second = (int(word) for word in np.frombuffer(data, "<u4", 2, start))
        if first >> 16:
            kind, size, at = first & 0xFFFF, first >> 16, start + _SMALL
            end = start + _BLOCK
            fits = size <= _SMALL
        else:
            kind, size, at = first, second, start + _BLOCK
            end = at + (size if kind == _COMPRESSED else -(-size // _BLOCK) * _BLOCK)
            fits = at + size <= len(data)
        if not fits:
            raise Mat5Error(f"an element of {size} bytes at {start}, in {len(data)}")
        yield _Element(kind, data[at : at + size])
        start = end


def _array(element: _Element) -> _Array | None:
    """Return an array up to its content; None of what is none, or is empty."""
    if element.type != _MATRIX or not element.data:
        return None
    rest = _elements(element.data)
    flags, shape, _ = _next(rest), _next(rest), _next(rest)
    word = _numbers(flags)
    sizes = tuple(int(size) for size in _numbers(shape))
    if flags.type != 6 or len(word) != 2 or len(sizes) < 2 or min(sizes) < 0:
        raise Mat5Error(f"an array of {sizes} with flags of {len(flags.data)} bytes")
    kind = int(word[0]) & 0xFF
    if int(word[0]) & _COMPLEX:
        raise Mat5Error("complex numbers")
    return _Array(kind, sizes, rest)


def _fields(rest: Iterator[_Element]) -> dict[str, np.ndarray | str]:
    lengths, names = _numbers(_next(rest)), bytes(_next(rest).data)
    length = int(lengths[0]) if len(lengths) == 1 else 0
    if length <= 0 or len(names) % length:
        raise Mat5Error(f"{len(names)} bytes of field names, {length} each")
    found = {}
    for start in range(0, len(names), length):
        name = names[start : start + length].partition(b"\0")[0].decode("latin-1")
        value = _value(_array(_next(rest)))
        if value is not None:
            found[name] = value
    return found


def _value(array: _Array | None) -> np.ndarray | str | None:
    if array is None:
        return None
    if array.kind == _CHARACTERS:
        return _text(_next(array.rest))
    if array.kind not in _NUMERIC:
        return None
    numbers = _numbers(_next(array.rest))
    if len(numbers) != math.prod(array.shape):
        raise Mat5Error(f"{len(numbers)} numbers in an array of {array.shape}")
    return numbers.reshape(array.shape, order="F")


def _text(element: _Element) -> str:
    encoding = _ENCODINGS.get(element.type)
    if encoding is None:
        raise Mat5Error(f"text of type {element.type}")
    return bytes(element.data).decode(encoding, errors="replace")


def _numbers(element: _Element) -> np.ndarray:
    dtype = np.dtype("<" + _NUMBERS.get(element.type, "V1"))
    if dtype.kind == "V" or len(element.data) % dtype.itemsize:
        raise Mat5Error(f"{len(element.data)} bytes of type {element.type} instead of numbers")
    return np.frombuffer(element.data, dtype)


def _next(elements: Iterator[_Element]) -> _Element:
    found = next(elements, None)
    if found is None:
        raise Mat5Error("an array that ends before its content")
    return found
