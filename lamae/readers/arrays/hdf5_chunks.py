"""Chunks of an HDF5 dataset that gzip has packed, each bounded by the size that it must have.

HDF5's own filter allocates what a chunk inflates to, and reads beyond one that is short: h5py 3.16
returns what lies behind it in memory as samples.
"""

import itertools
import math
import zlib
from typing import NamedTuple

import h5py
import numpy as np

GZIP, SHUFFLE, FLETCHER32 = 1, 2, 3
"""Codes of the filters that are undone here."""
FILTERS = (SHUFFLE, GZIP, FLETCHER32)
"""In the order in which a dataset may have them."""
CHECKSUM_BYTES = 4
"""Bytes that fletcher32 adds to a chunk."""
CACHE_BYTES = 2**27
"""Bytes of unpacked chunks that are kept: chunks may cross recordings."""


class CheckedData(NamedTuple):
    """A dataset whose claims its file can keep."""

    data: h5py.Dataset
    """The dataset."""
    filters: tuple[int, ...]
    """Codes of its filters."""
    unpacked: dict[tuple[int, ...], np.ndarray]
    """By corner, the chunks that were unpacked last."""


class ChunkError(ValueError):
    """A chunk of another size than its dataset has."""

    def __init__(self, value: str, expected: str) -> None:
        """Say what was found."""
        super().__init__(f"{value}; expected {expected}")
        self.value, self.expected = value, expected


def read_packed(found: CheckedData, place: tuple[int, ...]) -> np.ndarray:
    """Put a recording, or all of a dataset, together from its chunks; raises ChunkError."""
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
        values[tuple(target)] = _chunk(found, corner)[tuple(source)]
    return values.reshape(data.shape[len(place) :])


def _chunk(found: CheckedData, corner: tuple[int, ...]) -> np.ndarray:
    """Return a chunk, unpacked; one that was never written holds the fill value."""
    if corner in found.unpacked:
        return found.unpacked[corner]
    data = found.data
    if not data.id.get_chunk_info_by_coord(corner).size:
        return np.full(data.chunks, data.fillvalue)
    skipped, packed = data.id.read_direct_chunk(corner)
    done = {code for place, code in enumerate(found.filters) if not skipped >> place & 1}
    size = math.prod(data.chunks) * data.dtype.itemsize
    if FLETCHER32 in done:
        packed = packed[:-CHECKSUM_BYTES]  # gzip has a checksum of its own
    if GZIP in done:
        packed = zlib.decompressobj().decompress(packed, size + 1)
    if len(packed) != size:
        raise ChunkError(f"a chunk at {corner} of {len(packed)} bytes or more", f"{size} bytes")
    if SHUFFLE in done:
        planes = np.frombuffer(packed, np.uint8).reshape(data.dtype.itemsize, -1)
        packed = planes.T.tobytes()
    values = np.frombuffer(packed, data.dtype).reshape(data.chunks)
    while found.unpacked and (len(found.unpacked) + 1) * size > CACHE_BYTES:
        del found.unpacked[next(iter(found.unpacked))]
    found.unpacked[corner] = values
    return values
