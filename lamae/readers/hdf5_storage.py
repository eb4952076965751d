"""The storage of an HDF5 dataset, held against what the dataset claims, and read within it."""

import itertools
import math
import zlib
from typing import Literal, NamedTuple, NoReturn, get_args

import h5py
import numpy as np

from lamae.errors import RecordError
from lamae.readers.array_layout import Reason as LayoutReason

Reason = Literal[
    "missing_file",
    "unreadable_file",
    "no_such_dataset",
    "leads_out_of_the_file",
    "unsupported_compression",
    "claims_more_than_it_stores",
    "no_such_recording",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason that a RecordError of this module can have, beside those of a layout."""

MAX_COMPRESSION = 100
"""Datasets that claim more than so many times the bytes they store are refused."""
MAX_CHUNK_BYTES = 2**27
"""Largest chunk of a dataset that is read: it is in memory whole."""

_TEXTS_AT_ONCE, _MAX_TEXT_BYTES = 64, 2**26

CACHE_BYTES = 2**27
"""Unpacked chunks that are kept: they may cross recordings."""

_GZIP, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_FILTERS = (_SHUFFLE, _GZIP, _FLETCHER32)
_CHECKSUM_BYTES = 4

# What h5py raises where a file is not what it expects.
H5PY_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


class CheckedDataset(NamedTuple):
    """A dataset whose claims its file can keep."""

    data: h5py.Dataset
    """The dataset."""
    filters: tuple[int, ...]
    """Codes of its filters, in the order in which they were applied."""
    unpacked: dict[tuple[int, ...], np.ndarray]
    """By corner, the chunks that were unpacked last."""


def _filters(data: h5py.Dataset, name: str) -> tuple[int, ...]:
    """Return the codes of a dataset's filters, which are among those that are undone here."""
    created = data.id.get_create_plist()
    found = [created.get_filter(place) for place in range(created.get_nfilters())]
    codes = tuple(one[0] for one in found)
    if codes != tuple(code for code in _FILTERS if code in codes):
        value = f"filters {[one[3].decode(errors='replace') for one in found]}"
        expected = "shuffle, gzip and fletcher32, in this order, or some of them"
        remedy = "Write it again, compressed with gzip."
        refuse(name, "unsupported_compression", value, expected, remedy)
    if _GZIP in codes and data.id.get_type() != h5py.h5t.py_create(data.dtype):
        refuse(name, "unsupported_type", f"values of an unusual {data.dtype}", "numpy's own types")
    return codes


def check_storage(data: h5py.Dataset, file_bytes: int, name: str) -> CheckedDataset:
    """Hold what a dataset claims against what it stores; HDF5 reads beyond chunks too short."""
    filters = _filters(data, name)
    item = data.dtype.itemsize
    claimed, chunk = math.prod(data.shape) * item, math.prod(data.chunks or ()) * item
    stored = min(data.id.get_storage_size(), file_bytes)
    bare = chunk + _CHECKSUM_BYTES * (_FLETCHER32 in filters)
    sizes: list[int] = []

    def measure(info: h5py.h5d.StoreInfo) -> None:
        sizes.append(bare + 1 if info.filter_mask and _GZIP not in filters else info.size)

    if data.chunks:
        data.id.chunk_iter(measure)
    low, high = (1, bare + bare // 100 + 64) if _GZIP in filters else (bare, bare)
    honest = (
        0 < claimed <= stored * (MAX_COMPRESSION if data.chunks else 1)
        and chunk <= MAX_CHUNK_BYTES
        and all(low <= size <= high for size in sizes)
    )
    if not honest:
        value = f"{claimed} bytes, of which {stored} are stored, in chunks of {chunk}"
        expected = f"at most {MAX_COMPRESSION} times as many, in chunks of {MAX_CHUNK_BYTES}"
        refuse(name, "claims_more_than_it_stores", value, expected)
    return CheckedDataset(data, filters, unpacked={})


def read_values(found: CheckedDataset, place: tuple[int, ...], name: str) -> np.ndarray:
    """Return a recording of a dataset, or all of it; raises RecordError for damaged storage."""
    try:
        if h5py.check_string_dtype(found.data.dtype) and found.data.dtype.kind == "O":
            return _read_texts(found, name)
        if _GZIP in found.filters:
            return _read_packed(found, place, name)
        return np.asarray(found.data[place])
    except RecordError:
        raise
    except (*H5PY_ERRORS, zlib.error) as error:
        refuse_unreadable(name, error)


def _read_texts(found: CheckedDataset, name: str) -> np.ndarray:
    """Return texts of any length; many may point to one that is long, so they are read in parts."""
    rows, total = found.data.shape[0], 0
    texts: list[object] = []
    for start in range(0, rows, _TEXTS_AT_ONCE):
        part = np.ravel(found.data[start : start + _TEXTS_AT_ONCE])
        total += sum(len(text) for text in part)
        if total > _MAX_TEXT_BYTES:
            value = f"more than {_MAX_TEXT_BYTES} bytes of text"
            refuse(name, "claims_more_than_it_stores", value, "names of recordings")
        texts += part.tolist()
    return np.array(texts, dtype=object)


def _read_packed(found: CheckedDataset, place: tuple[int, ...], name: str) -> np.ndarray:
    """Put a recording, or all of a dataset, together from its chunks.

    HDF5's own filter allocates what a chunk inflates to, and reads beyond one that is short: h5py
    3.16 returns what lies behind it in memory as samples.
    """
    data = found.data
    wanted = [range(p, p + 1) for p in place] + [range(n) for n in data.shape[len(place) :]]
    values = np.empty([len(one) for one in wanted], data.dtype)
    steps = [
        range(one.start // step * step, one.stop, step)
        for one, step in zip(wanted, data.chunks, strict=True)
    ]
    for corner in itertools.product(*steps):
        source, target = [], []
        for first, step, one in zip(corner, data.chunks, wanted, strict=True):
            low, high = max(first, one.start), min(first + step, one.stop)
            source.append(slice(low - first, high - first))
            target.append(slice(low - one.start, high - one.start))
        values[tuple(target)] = _chunk(found, corner, name)[tuple(source)]
    return values.reshape(data.shape[len(place) :])


def _chunk(found: CheckedDataset, corner: tuple[int, ...], name: str) -> np.ndarray:
    """Return a chunk, unpacked; one that was never written holds the fill value."""
    if corner in found.unpacked:
        return found.unpacked[corner]
    data = found.data
    if not data.id.get_chunk_info_by_coord(corner).size:
        return np.full(data.chunks, data.fillvalue)
    skipped, packed = data.id.read_direct_chunk(corner)
    done = {code for place, code in enumerate(found.filters) if not skipped >> place & 1}
    size = math.prod(data.chunks) * data.dtype.itemsize
    if _FLETCHER32 in done:
        packed = packed[:-_CHECKSUM_BYTES]  # gzip has a checksum of its own
    if _GZIP in done:
        packed = zlib.decompressobj().decompress(packed, size + 1)
    if len(packed) != size:
        value = f"a chunk at {corner} of {len(packed)} bytes or more"
        refuse(name, "claims_more_than_it_stores", value, f"{size} bytes")
    if _SHUFFLE in done:
        planes = np.frombuffer(packed, np.uint8).reshape(data.dtype.itemsize, -1)
        packed = planes.T.tobytes()
    values = np.frombuffer(packed, data.dtype).reshape(data.chunks)
    while found.unpacked and (len(found.unpacked) + 1) * size > CACHE_BYTES:
        del found.unpacked[next(iter(found.unpacked))]
    found.unpacked[corner] = values
    return values


def refuse_unreadable(name: str, error: Exception) -> NoReturn:
    """Raise the RecordError of a file that h5py does not read."""
    value = f"{type(error).__name__}: {error}"
    refuse(name, "unreadable_file", value, "an HDF5 file, whole")


def refuse(
    name: str,
    reason: Reason | LayoutReason,
    value: str,
    expected: str,
    remedy: str = "Leave it out.",
) -> NoReturn:
    """Raise the RecordError of a recording in a file."""
    raise RecordError(
        f"recording {name}", reason=reason, value=value, expected=expected, remedy=remedy
    )
