"""Recordings in HDF5 files: one in a dataset of two axes, or many in one of three.

A file is taken as a stranger's: a dataset may not lead out of it, nor claim much more than it
stores, and recordings are read one at a time.
"""

import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, get_args

import h5py
import numpy as np

from lamae.ecg.record import Reading
from lamae.errors import RecordError
from lamae.readers.arrays.array_layout import REASONS as LAYOUT_REASONS
from lamae.readers.arrays.array_layout import ArrayLayout, array_reading, check_type, leads_first
from lamae.readers.arrays.array_layout import Reason as LayoutReason
from lamae.readers.arrays.hdf5_chunks import (
    CACHE_BYTES,
    CHECKSUM_BYTES,
    FILTERS,
    FLETCHER32,
    GZIP,
    CheckedData,
    ChunkError,
    read_packed,
)

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
MAX_CHUNK_BYTES = 2**27
"""Largest chunk of a dataset that is read: it is in memory whole."""

MAX_TEXT_BYTES = 2**24
"""Most bytes of all ids of a file, where they are texts of variable length."""

_OPEN_FILES = 2  # a build takes one after the other, and each has a cache
_CACHE_SLOTS = 10_007

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
    """A file, as distinct from one that has replaced it."""

    path: Path
    inode: int
    modified_ns: int
    size: int


def read_hdf5(
    path: Path,
    layout: ArrayLayout,
    *,
    item: int | None,
    name: str,
    leads_as: Mapping[str, str] | None = None,
) -> Reading:
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
    return array_reading(
        signal, layout, leads=layout.leads, name=name, files=files, leads_as=leads_as
    )


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
    if ids.data.dtype.kind == "O":
        return _texts(ids.data, str(path))
    values = _read(ids, (), str(path)).ravel()
    if values.dtype.kind == "S":
        return [value.decode(errors="replace").strip() for value in values]
    return [str(value) for value in values]


def _texts(ids: h5py.Dataset, name: str) -> list[str]:
    """Read texts of variable length, which a file may all let point at one long text."""
    found: list[str] = []
    room = MAX_TEXT_BYTES
    for place in range(len(ids)):
        content = bytes(np.ravel(ids[place])[0])
        room -= len(content)
        if room < 0:
            value = f"more than {MAX_TEXT_BYTES} bytes of ids"
            _refuse(name, "claims_more_than_it_stores", value, "an id for each recording")
        found.append(content.decode(errors="replace").strip())
    return found


def read_array(
    path: Path, place: str, item: tuple[int, ...] = (), *, text: bool = False
) -> np.ndarray:
    """Return a dataset of a file, or one item of it; raises RecordError as `read_hdf5` does."""
    return _read(_dataset(path, place, text=text), item, str(path))


def _dataset(path: Path, place: str, *, text: bool = False) -> CheckedData:
    """Return a dataset of numbers, or of text where that is allowed."""
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
        version.path, "r", locking=False, rdcc_nbytes=CACHE_BYTES, rdcc_nslots=_CACHE_SLOTS
    )


@lru_cache(2 * _OPEN_FILES)
def _checked(version: _Version, place: str, text: bool) -> CheckedData:
    data, name = _found(version, place), str(version.path)
    if data.is_virtual or data.external:
        value = f"{place} is stored in other files"
        _refuse(name, "leads_out_of_the_file", value, "data in the file itself")
    if not (text and h5py.check_string_dtype(data.dtype)):
        check_type(data.dtype, name)
    filters = _filters(data, name)
    _check_storage(data, filters, version.size, name)
    return CheckedData(data, filters, unpacked={})


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
    """Return the codes of a dataset's filters, which are among those that are undone here."""
    created = data.id.get_create_plist()
    found = [created.get_filter(place) for place in range(created.get_nfilters())]
    codes = tuple(one[0] for one in found)
    if codes != tuple(code for code in FILTERS if code in codes):
        value = f"filters {[one[3].decode(errors='replace') for one in found]}"
        expected = "shuffle, gzip and fletcher32, in this order, or some of them"
        remedy = "Write it again, compressed with gzip."
        _refuse(name, "unsupported_compression", value, expected, remedy)
    if GZIP in codes and data.id.get_type() != h5py.h5t.py_create(data.dtype):
        _refuse(name, "unsupported_type", f"values of an unusual {data.dtype}", "numpy's own types")
    return codes


def _check_storage(
    data: h5py.Dataset, filters: tuple[int, ...], file_bytes: int, name: str
) -> None:
    """Hold what a dataset claims against what it stores; HDF5 reads beyond chunks too short."""
    item = data.dtype.itemsize
    claimed, chunk = math.prod(data.shape) * item, math.prod(data.chunks or ()) * item
    stored = min(data.id.get_storage_size(), file_bytes)
    bare = chunk + CHECKSUM_BYTES * (FLETCHER32 in filters)
    sizes: list[int] = []

    def measure(info: h5py.h5d.StoreInfo) -> None:
        sizes.append(bare + 1 if info.filter_mask and GZIP not in filters else info.size)

    if data.chunks:
        data.id.chunk_iter(measure)
    low, high = (1, bare + bare // 100 + 64) if GZIP in filters else (bare, bare)
    honest = (
        0 < claimed <= stored * (MAX_COMPRESSION if data.chunks else 1)
        and chunk <= MAX_CHUNK_BYTES
        and all(low <= size <= high for size in sizes)
    )
    if not honest:
        value = f"{claimed} bytes, of which {stored} are stored, in chunks of {chunk}"
        expected = f"at most {MAX_COMPRESSION} times as many, in chunks of {MAX_CHUNK_BYTES}"
        _refuse(name, "claims_more_than_it_stores", value, expected)


def _read(found: CheckedData, place: tuple[int, ...], name: str) -> np.ndarray:
    try:
        if GZIP in found.filters:
            return read_packed(found, place)
        return np.asarray(found.data[place])
    except ChunkError as error:
        _refuse(name, "claims_more_than_it_stores", error.value, error.expected)
    except (*_H5PY_ERRORS, zlib.error) as error:
        _refuse_unreadable(name, error)


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
