"""Recordings in HDF5 files: one in a dataset of two axes, or many in one of three.

A file is taken as a stranger's: a dataset may not lead out of it, nor claim much more than it
stores, and recordings are read one at a time.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from lamae.ecg.record import Reading
from lamae.errors import RecordError
from lamae.readers.array_layout import REASONS as LAYOUT_REASONS
from lamae.readers.array_layout import ArrayLayout, array_reading, check_type, leads_first
from lamae.readers.hdf5_storage import (
    CACHE_BYTES,
    H5PY_ERRORS,
    CheckedDataset,
    check_storage,
    read_values,
    refuse,
    refuse_unreadable,
)
from lamae.readers.hdf5_storage import REASONS as STORAGE_REASONS

REASONS: tuple[str, ...] = (*STORAGE_REASONS, *LAYOUT_REASONS)
"""Every reason that a RecordError of this module can have."""

_OPEN_FILES = 2  # a build takes one after the other, and each has a cache
_CACHE_SLOTS = 10_007


class _Version(NamedTuple):
    """What tells a file from one that has replaced it."""

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
            refuse(name, "no_such_recording", value, "a recording of the file")
    by_lead = leads_first(recording, layout, leads=len(layout.leads), name=name)
    values = read_values(found, place, name)
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
        refuse(str(path), "wrong_shape", f"shape {shape} of {layout.dataset}", expected)
    if layout.ids is None:
        return [str(number) for number in range(shape[0])]
    ids = _dataset(path, layout.ids, text=True)
    if ids.data.shape not in ((shape[0],), (shape[0], 1)):
        value = f"shape {ids.data.shape} of {layout.ids}"
        refuse(str(path), "wrong_shape", value, f"an id for each of {shape[0]} recordings")
    return [_identifier(value) for value in read_values(ids, (), str(path)).ravel()]


def _identifier(value: object) -> str:
    """Return an id as text; a float that is a whole number is that number, as pandas loses it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace").strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def read_array(
    path: Path, place: str, item: tuple[int, ...] = (), *, text: bool = False
) -> np.ndarray:
    """Return a dataset of a file, or one item of it; raises RecordError as `read_hdf5` does."""
    return read_values(_dataset(path, place, text=text), item, str(path))


def _dataset(path: Path, place: str, *, text: bool = False) -> CheckedDataset:
    """Return a dataset of numbers, or of text where that is allowed."""
    try:
        found = path.stat()
        version = _Version(path, found.st_ino, found.st_mtime_ns, found.st_size)
        if not path.is_file():
            raise ValueError("no file")
    except (OSError, ValueError):
        refuse(str(path), "missing_file", f"no {path.name}", "an HDF5 file")
    try:
        return _checked(version, place, text)
    except RecordError:
        raise
    except H5PY_ERRORS as error:
        refuse_unreadable(str(path), error)


@lru_cache(_OPEN_FILES)
def _opened(version: _Version) -> h5py.File:
    """Open a file that nobody writes; some disks cannot lock."""
    return h5py.File(
        version.path, "r", locking=False, rdcc_nbytes=CACHE_BYTES, rdcc_nslots=_CACHE_SLOTS
    )


@lru_cache(2 * _OPEN_FILES)
def _checked(version: _Version, place: str, text: bool) -> CheckedDataset:
    data, name = _found(version, place), str(version.path)
    if data.is_virtual or data.external:
        value = f"{place} is stored in other files"
        refuse(name, "leads_out_of_the_file", value, "data in the file itself")
    if not (text and (data.dtype.kind == "S" or h5py.check_string_dtype(data.dtype))):
        check_type(data.dtype, name)
    return check_storage(data, version.size, name)


def _found(version: _Version, place: str) -> h5py.Dataset:
    """Return the dataset at a place, to which no link leads that might point elsewhere."""
    node, name = _opened(version), str(version.path)
    for part in filter(None, place.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            break
        if not isinstance(link, h5py.HardLink):
            refuse(name, "leads_out_of_the_file", f"{place} is a link", "data in the file itself")
        node = node[part]
    else:
        if isinstance(node, h5py.Dataset) and node.shape:
            return node
    remedy = "Set arrays.dataset and arrays.ids."
    refuse(name, "no_such_dataset", f"no array {place}", "an array there", remedy)
