"""A lossless codec for the integers of a recording, int16 (leads, samples).

Most of a 12-lead recording is predictable. III, aVR, aVL and aVF follow from I and II by the
equations of Einthoven and Goldberger, and every other lead changes little from sample to sample.
What is kept is the error of these predictions, its sign apart from its magnitude so that the high
bits of small errors are zero, and Blosc2 compresses the bit planes with LZ4.

    payload = CRC-32 of the chunk, little-endian; chunk of Blosc2, absent where there are no samples

All arithmetic is modulo 2**16, which makes the prediction a bijection on every recording: one that
disobeys the equations, saturates or has missing samples is only larger.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, NoReturn

import blosc2
import numpy as np
from isal import isal_zlib

from lamae.errors import InputError

MAX_BYTES = 2**31 - 33
"""Most bytes that a recording can have: Blosc2 counts them, and its header, in 31 bits."""

_EQUATIONS = MappingProxyType(
    {"III": ((1,), (0,)), "aVR": ((), (2, 3)), "aVL": ((0,), (3,)), "aVF": ((1,), (2,))}
)
"""Terms I, II, I/2, II/2 that add to a derived lead, and that subtract; halves are rounded down."""

_ITEM_BYTES = 2
_MAGNITUDE = 0x7FFF
_CRC32 = struct.Struct("<I")
_HEADER = struct.Struct("<2sBBIII15sB")
"""Versions, flags, sizes of a sample, all samples, a block and the chunk, filters, kind.

As README_CHUNK_FORMAT of C-Blosc2 has them.
"""
_VERSIONS = b"\x05\x01"
_FLAGS = (0x35, 0x07, 0x37)  # compressed by LZ4; not compressed, fewer or more than 32 bytes
_FILTERS = bytes.fromhex("02 00 00 00 00 00 02 00 00 00 00 00 00 00 00")  # bit planes, LZ4 HC
_KINDS = (0x00, 0x10)  # any samples; zeros alone
_MAX_BLOCK_BYTES = 2**18  # fits into a core's cache; LZ4 gives up on blocks of megabytes


class _Plan(NamedTuple):
    """Prediction of each row."""

    continued: tuple[slice, ...]
    """Adjacent rows that are each predicted by their own previous sample."""
    derived: tuple[tuple[int, str], ...]
    """Rows that follow from I and II, and their leads."""


def encode_digital(digital: np.ndarray, leads: Sequence[str]) -> bytes:
    """Compress a recording; the same recording gives the same bytes.

    Args:
        digital: int16 (leads, samples), at most `MAX_BYTES`.
        leads: canonical names of the rows.
    """
    _check_array(digital, (len(leads), digital.shape[-1]))
    if digital.nbytes > MAX_BYTES:
        raise ValueError(f"{digital.nbytes} bytes are more than {MAX_BYTES}")
    plan = _plan(tuple(leads))
    errors = np.array(digital, order="C")
    for run in plan.continued:
        errors[run, 1:] -= digital[run, :-1]
    if plan.derived:
        terms = _terms(digital, leads)
        for row, lead in plan.derived:
            adding, subtracting = _EQUATIONS[lead]
            for term in adding:
                errors[row] -= terms[term]
            for term in subtracting:
                errors[row] += terms[term]
    errors ^= (errors >> 15) & _MAGNITUDE
    chunk = _compress(errors) if errors.size else b""
    return _CRC32.pack(isal_zlib.crc32(chunk)) + chunk


def decode_digital(
    payload: bytes | memoryview,
    *,
    leads: Sequence[str],
    samples: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the recording that `encode_digital` was given, int16 (leads, samples).

    Args:
        payload: what `encode_digital` returned.
        leads: the names that `encode_digital` was given.
        samples: number of samples of a lead.
        out: int16 (leads, samples) in C order to fill and return; None for a new array.

    Raises InputError for a payload that is damaged, forged, or of another number of leads or
    samples; the last is noticed before anything is allocated.
    """
    shape = (len(leads), samples)
    chunk = _checked_chunk(memoryview(payload), shape)
    if out is None:
        out = np.empty(shape, dtype=np.int16)
    _check_array(out, shape)
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("expected an array in C order that can be written to")
    if chunk:
        _decompress(chunk, out)
    mask = out >> 15
    mask &= _MAGNITUDE
    out ^= mask
    plan = _plan(tuple(leads))
    for run in plan.continued:  # 32-bit sums, cut to 16 bits, take a third of the time
        out[run] = np.add.accumulate(out[run], axis=1, dtype=np.int32)
    if plan.derived:
        terms = _terms(out, leads)
        for row, lead in plan.derived:
            derived = out[row]
            adding, subtracting = _EQUATIONS[lead]
            for term in adding:
                derived += terms[term]
            for term in subtracting:
                derived -= terms[term]
    return out


def stated_bytes(payload: memoryview) -> int:
    """Return the bytes of samples that the header of a payload states, unverified."""
    chunk = payload[_CRC32.size :]
    return int(_HEADER.unpack_from(chunk)[3]) if len(chunk) >= _HEADER.size else 0


@lru_cache(maxsize=64)
def _plan(leads: tuple[str, ...]) -> _Plan:
    derivable = set(_EQUATIONS) if {"I", "II"} <= set(leads) else set()
    continued = {row for row, lead in enumerate(leads) if lead not in derivable}
    starts = [row for row in sorted(continued) if row - 1 not in continued]
    stops = [row + 1 for row in sorted(continued) if row + 1 not in continued]
    return _Plan(
        continued=tuple(map(slice, starts, stops)),
        derived=tuple((row, lead) for row, lead in enumerate(leads) if lead in derivable),
    )


def _terms(digital: np.ndarray, leads: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Return what the equations add up: I, II, and the half of each."""
    i, ii = digital[leads.index("I")], digital[leads.index("II")]
    return i, ii, i >> 1, ii >> 1


def _compress(errors: np.ndarray) -> bytes:
    return blosc2.compress2(
        errors,
        codec=blosc2.Codec.LZ4HC,
        clevel=5,
        filters=[blosc2.Filter.BITSHUFFLE],
        typesize=_ITEM_BYTES,
        blocksize=min(errors.nbytes, _MAX_BLOCK_BYTES),
        nthreads=1,
    )


def _checked_chunk(payload: memoryview, shape: tuple[int, int]) -> memoryview:
    """Return the chunk, which has the header of one that `_compress` makes of that shape.

    Blosc2 writes as many bytes as the header says, and runs any filter that the header names.
    """
    chunk = payload[_CRC32.size :]
    if len(payload) < _CRC32.size or _CRC32.unpack_from(payload)[0] != isal_zlib.crc32(chunk):
        _refuse(f"{len(payload)} bytes that differ from their checksum", "what was written")
    size = _ITEM_BYTES * shape[0] * shape[1]
    if not size and not chunk:
        return chunk
    if len(chunk) < _HEADER.size:
        _refuse(f"{len(chunk)} bytes", f"at least {_HEADER.size} for {shape} samples")
    versions, flags, *sizes, filters, kind = _HEADER.unpack_from(chunk)
    if sizes != [_ITEM_BYTES, size, min(size, _MAX_BLOCK_BYTES), len(chunk)]:
        _refuse(f"sizes {sizes}", f"those of {shape} samples in {len(chunk)} bytes")
    if (versions, filters) != (_VERSIONS, _FILTERS) or flags not in _FLAGS or kind not in _KINDS:
        _refuse(f"header {chunk[: _HEADER.size].hex()}", "one that this version writes")
    return chunk


def _decompress(chunk: memoryview, out: np.ndarray) -> None:
    try:
        blosc2.decompress2(chunk, out, nthreads=1)
    except (RuntimeError, ValueError):
        _refuse("a chunk that Blosc2 cannot decompress", "what was written")


def _refuse(value: str, expected: str) -> NoReturn:
    raise InputError(
        "compressed recording",
        value=value,
        expected=expected,
        remedy="It is damaged: copy or build its shard again.",
    )


def _check_array(digital: np.ndarray, shape: tuple[int, int]) -> None:
    if digital.dtype != np.int16 or digital.shape != shape:
        raise ValueError(f"expected int16 {shape}, not {digital.dtype} {digital.shape}")
