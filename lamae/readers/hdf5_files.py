"""Recordings in HDF5 files: one in a dataset of two axes, or many in one of three.

A file is taken as a stranger's: a dataset may not lead out of it, nor claim much more than it
stores, and recordings are read one at a time.
"""

import itertools
import math
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, get_args

import h5py
import numpy as np

from lamae.errors import RecordError
from lamae.readers.array_layout import REASONS as LAYOUT_REASONS
from lamae.readers.array_layout import ArrayLayout, array_reading, check_type, leads_first
from lamae.readers.array_layout import Reason as LayoutReason
from lamae.record import Reading

Reason = Literal[
    "missing_file",
    "unreadable_file",
    "no_such_dataset",
    "leads_out_of_the_file",
    "unsupported_compression",
    "claims_more_than_it_stores",
    "no_such_recording",
]
REASONS: tuple[str, ...] = (*get_args(Reason), *LAYOUT_REASONS)
"""Every reason that a RecordError of this module can have."""

MAX_COMPRESSION = 100
"""Datasets that claim more than so many times the bytes they store are refused."""
MAX_CHUNK_BYTES = 2**28
"""Most bytes that a chunk of a dataset, which HDF5 unpacks whole, may become."""

_OPEN_FILES = 2  # a build takes one after the other, and each has a cache
_CACHE_BYTES, _CACHE_SLOTS = 2**27, 10_007  # chunks may cross recordings: unpack them once
_EXPANSION = {1: 1032, 2: 1, 3: 1, 32000: 88}  # the most that a filter makes of a byte
_FILTERS = "gzip or lzf, shuffle and fletcher32"
_PACK_AGAIN = "Pack it again with h5repack -f GZIP=4."
_GZIP, _LZF = 1, 32000
_CHECKSUM_BYTES = 4

# What h5py raises where a file is not what it expects.
_H5PY_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


class _Version(NamedTuple):
    """What tells a file from one that has replaced it."""

    path: Path
    inode: int
    modified_ns: int
    size: int


class _Checked(NamedTuple):
    """A dataset whose claims its file can keep."""

    data: h5py.Dataset
    filters: tuple[int, ...]
    large_chunks: bool
    """Whether chunks must be checked before they are unpacked."""


def read_hdf5(path: Path, layout: ArrayLayout, *, item: int | None, name: str) -> Reading:
    """Read recording number `item` of an HDF5 file, or its only one where that is None.

    A file of many is not named in `Reading.files`: its checksum would be computed for each of them.
    Raises RecordError with one of `REASONS`.
    """
    found = _dataset(path, layout.dataset)
    shape = found.data.shape
    if item is None:
        recording: tuple[int, ...] = shape
        place: tuple[int, ...] = ()
    else:
        recording, place = shape[1:], (item,)
        if len(shape) != 3 or not 0 <= item < shape[0]:
            value = f"number {item} of shape {shape}"
            _refuse(name, "no_such_recording", value, "a recording of the file")
    by_lead = leads_first(recording, layout, leads=len(layout.leads), name=name)
    values = _read(found, place, name)
    signal = values if by_lead else values.T
    files = (path,) if item is None else ()
    return array_reading(signal, layout, leads=layout.leads, name=name, files=files)


def recording_names(path: Path, layout: ArrayLayout) -> list[str]:
    """Return the names of the recordings in an HDF5 file: its ids, or their numbers from 0.

    Raises RecordError with one of `REASONS` for a file without such recordings.
    """
    shape = _dataset(path, layout.dataset).data.shape
    if len(shape) != 3:
        expected = "three axes: recordings, and the two of each"
        _refuse(str(path), "wrong_shape", f"shape {shape} of {layout.dataset}", expected)
    if layout.ids is None:
        return [str(number) for number in range(shape[0])]
    ids = _dataset(path, layout.ids, text=True)
    if ids.data.shape not in ((shape[0],), (shape[0], 1)):
        value = f"shape {ids.data.shape} of {layout.ids}"
        _refuse(str(path), "wrong_shape", value, f"an id for each of {shape[0]} recordings")
    values = _read(ids, (), str(path)).ravel()
    if values.dtype.kind == "S":
        return [value.decode(errors="replace").strip() for value in values]
    return [str(value) for value in values]


def _dataset(path: Path, place: str, *, text: bool = False) -> _Checked:
    """Return a dataset of numbers, or of text of fixed length where that is allowed."""
    try:
        found = path.stat()
        version = _Version(path, found.st_ino, found.st_mtime_ns, found.st_size)
        if not path.is_file():
            raise ValueError("no file")
    except (OSError, ValueError):
        _refuse(str(path), "missing_file", f"no {path.name}", "an HDF5 file")
    try:
        return _checked(version, place, text)
    except RecordError:
        raise
    except _H5PY_ERRORS as error:
        _refuse_unreadable(str(path), error)


@lru_cache(_OPEN_FILES)
def _opened(version: _Version) -> h5py.File:
    """Open a file that nobody writes; some disks cannot lock."""
    return h5py.File(
        version.path, "r", locking=False, rdcc_nbytes=_CACHE_BYTES, rdcc_nslots=_CACHE_SLOTS
    )


@lru_cache(2 * _OPEN_FILES)
def _checked(version: _Version, place: str, text: bool) -> _Checked:
    data, name = _found(version, place), str(version.path)
    if data.is_virtual or data.external:
        value = f"{place} is stored in other files"
        _refuse(name, "leads_out_of_the_file", value, "data in the file itself")
    if not (text and data.dtype.kind == "S"):
        check_type(data.dtype, name)
    filters = _filters(data, name)
    large_chunks = _check_storage(data, filters, version.size, name)
    return _Checked(data, filters, large_chunks)


def _found(version: _Version, place: str) -> h5py.Dataset:
    """Return the dataset at a place, to which no link leads that might point elsewhere."""
    node, name = _opened(version), str(version.path)
    for part in filter(None, place.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            break
        if not isinstance(link, h5py.HardLink):
            _refuse(name, "leads_out_of_the_file", f"{place} is a link", "data in the file itself")
        node = node[part]
    else:
        if isinstance(node, h5py.Dataset) and node.shape:
            return node
    remedy = "Set arrays.dataset and arrays.ids."
    _refuse(name, "no_such_dataset", f"no array {place}", "an array there", remedy)


def _filters(data: h5py.Dataset, name: str) -> tuple[int, ...]:
    """Return the codes of the filters of a dataset, each of which bounds what it allocates."""
    created = data.id.get_create_plist()
    found = [created.get_filter(place) for place in range(created.get_nfilters())]
    codes = tuple(one[0] for one in found)
    known = len(set(codes) & set(_EXPANSION))
    if known < len(codes) or {_GZIP, _LZF} <= set(codes):
        value = f"filters {[one[3].decode(errors='replace') for one in found]}"
        _refuse(name, "unsupported_compression", value, _FILTERS, _PACK_AGAIN)
    return codes


def _check_storage(
    data: h5py.Dataset, filters: tuple[int, ...], file_bytes: int, name: str
) -> bool:
    """Hold what a dataset claims against what it stores; returns whether chunks may be bombs."""
    item = data.dtype.itemsize
    claimed, chunk = math.prod(data.shape) * item, math.prod(data.chunks or ()) * item
    stored = min(data.id.get_storage_size(), file_bytes)
    largest = 0

    def measure(info: h5py.h5d.StoreInfo) -> None:
        nonlocal largest
        largest = max(largest, info.size)

    if data.chunks:
        data.id.chunk_iter(measure)
    honest = (
        0 < claimed <= stored * (MAX_COMPRESSION if data.chunks else 1)
        and chunk <= MAX_CHUNK_BYTES
        and largest <= chunk + chunk // 100 + 64  # what does not compress grows by so little
    )
    if not honest:
        value = f"{claimed} bytes, of which {stored} are stored, in chunks of {chunk}"
        expected = f"at most {MAX_COMPRESSION} times as many, in chunks of {MAX_CHUNK_BYTES}"
        _refuse(name, "claims_more_than_it_stores", value, expected)
    unpacked = largest * max((_EXPANSION[code] for code in filters), default=1)
    if unpacked > MAX_CHUNK_BYTES and _LZF in filters:
        value = f"lzf chunks of up to {largest} bytes"
        expected = f"at most {MAX_CHUNK_BYTES // _EXPANSION[_LZF]}"
        _refuse(name, "unsupported_compression", value, expected, _PACK_AGAIN)
    return unpacked > MAX_CHUNK_BYTES


def _read(found: _Checked, place: tuple[int, ...], name: str) -> np.ndarray:
    try:
        if found.large_chunks:
            _check_chunks(found, place, name)
        return np.asarray(found.data[place])
    except RecordError:
        raise
    except (*_H5PY_ERRORS, zlib.error) as error:
        _refuse_unreadable(name, error)


def _check_chunks(found: _Checked, place: tuple[int, ...], name: str) -> None:
    """Refuse chunks that unpack to more than they hold, which HDF5 would only find afterwards."""
    data = found.data
    chunk_bytes = math.prod(data.chunks) * data.dtype.itemsize + _CHECKSUM_BYTES
    starts = [
        range(place[axis] // step * step, place[axis] + 1, step)
        if axis < len(place)
        else range(0, length, step)
        for axis, (length, step) in enumerate(zip(data.shape, data.chunks, strict=True))
    ]
    for corner in itertools.product(*starts):
        if not data.id.get_chunk_info_by_coord(corner).size:
            continue
        _, packed = data.id.read_direct_chunk(corner)
        if len(zlib.decompressobj().decompress(packed, chunk_bytes + 1)) > chunk_bytes:
            value = f"a chunk at {corner} of more than it holds"
            _refuse(name, "claims_more_than_it_stores", value, f"{chunk_bytes} bytes")


def _refuse_unreadable(name: str, error: Exception) -> NoReturn:
    value = f"{type(error).__name__}: {error}"
    _refuse(name, "unreadable_file", value, "an HDF5 file, whole")


def _refuse(
    name: str,
    reason: Reason | LayoutReason,
    value: str,
    expected: str,
    remedy: str = "Leave it out.",
) -> NoReturn:
    raise RecordError(
        f"recording {name}", reason=reason, value=value, expected=expected, remedy=remedy
    )
