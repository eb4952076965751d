"""The index of a corpus, column by column: what nobody asks for is never read.

A corpus can have a million rows of which a training run needs a few numbers each, so that numbers
are numpy columns, texts stay in Arrow, and whole rows are read a row group at a time.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.storage.codec import MAX_BYTES

_MAX_SAID = 100
_BOUNDS = {
    "samples": (0, 2**31 - 1),
    "sampling_rate": (1, 10**6),
    "missing_samples": (0, 2**31 - 1),
}
"""Least and greatest number of columns that decide what is read and allocated."""
_NEVER_EMPTY = {
    *_BOUNDS, "key", "name", "patient_id", "split", "codec", "shard", "offset", "bytes", "crc32",
}  # fmt: skip
_SAMPLE_BYTES = 2
_BATCH_ROWS = 2**16
_KEPT_GROUPS = 4
_BYTES = pa.dictionary(pa.int32(), pa.large_binary())


class Categories(NamedTuple):
    """A column of few different values."""

    codes: np.ndarray
    """int32 (rows,): place in `names`."""
    names: tuple[str, ...]
    """The values."""


class Index:
    """Read-only view of `index.parquet`."""

    def __init__(self, path: Path) -> None:
        """Read the footer of a file; raises pyarrow.ArrowException or OSError if it has none."""
        self._path = path
        self._metadata = pq.read_metadata(path)
        groups = range(self._metadata.num_row_groups)
        self._ends = np.cumsum([self._metadata.row_group(group).num_rows for group in groups])
        self._numbers: dict[str, np.ndarray] = {}
        self._texts: dict[str, pa.StringArray] = {}
        self._categories: dict[str, Categories] = {}
        self._group = lru_cache(maxsize=_KEPT_GROUPS)(self._read_group)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._metadata.num_rows

    def numbers(self, name: str) -> np.ndarray:
        """Return a column of integers, (rows,)."""
        if name not in self._numbers:
            column = self._read(name).to_numpy()
            if len(column) and name in _BOUNDS:
                lowest, highest = _BOUNDS[name]
                least, most = int(column.min()), int(column.max())
                if least < lowest or most > highest:
                    wrong = least if least < lowest else most
                    self._refuse(name, str(wrong), f"{lowest} to {highest}")
            self._numbers[name] = column
        return self._numbers[name]

    def texts(self, name: str) -> pa.StringArray:
        """Return a column of texts as Arrow has it, which takes their bytes and four more each."""
        if name not in self._texts:
            self._texts[name] = self._read(name).combine_chunks()
        return self._texts[name]

    def categories(self, name: str) -> Categories:
        """Return a column that is stored by dictionary."""
        if name not in self._categories:
            self._categories[name] = _categories(self._read(name))
        return self._categories[name]

    @cached_property
    def lead_sets(self) -> Categories:
        """The leads of each row; a name is a set's leads in their order, joined by commas.

        Raises InputError for leads that no corpus has, and for more samples of them than a
        recording can have.
        """
        parts = [
            pc.binary_join(batch.column(0), ",").dictionary_encode()
            for batch in self.batches("leads")
        ]
        sets = _categories(pa.chunked_array(parts, pa.dictionary(pa.int32(), pa.string())))
        for name in sets.names:
            leads = name.split(",") if name else []
            if len(leads) != len(set(leads)) or not set(leads) <= set(LEADS):
                self._refuse("leads", name[:_MAX_SAID], f"some of {','.join(LEADS)}, once each")
        size = _SAMPLE_BYTES * _lead_counts(sets)[sets.codes] * self.numbers("samples")
        if len(size) and size.max() > MAX_BYTES:
            self._refuse("samples", f"{size.max()} bytes in a row", f"at most {MAX_BYTES}")
        return sets

    def _refuse(self, column: str, value: str, expected: str) -> NoReturn:
        raise InputError(
            f"index {self._path}, column {column}",
            value=value,
            expected=expected,
            remedy="Copy it again, or build the shards again.",
        )

    def scales(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gain, float64, and baseline, int32, of rows with as many leads: (rows, leads)."""
        gain, baseline = self._scales
        return gain.take(rows), baseline.take(rows)

    @cached_property
    def _scales(self) -> tuple["_Lists", "_Lists"]:
        lists = (("gain", np.float64), ("baseline", np.int32))
        gain, baseline = (_Lists(self.batches(name), np.dtype(dtype)) for name, dtype in lists)
        counts = _lead_counts(self.lead_sets)[self.lead_sets.codes]
        for name, column in (("gain", gain), ("baseline", baseline)):
            if not np.array_equal(column.lengths, counts):
                self._refuse(name, "another number of values than leads", "one for each lead")
        if not (np.isfinite(gain.values) & (gain.values != 0)).all():
            self._refuse("gain", "zero or not finite", "units for each millivolt")
        return gain, baseline

    def row(self, row: int) -> dict[str, Any]:
        """Return all of one row; raises IndexError for a row that there is not."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        group = int(np.searchsorted(self._ends, row, side="right"))
        place = row - int(self._ends[group - 1] if group else 0)
        names, columns = self._group(group)
        return {name: column[place].as_py() for name, column in zip(names, columns, strict=True)}

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield one column, some rows at a time."""
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=[name])

    def _read(self, name: str) -> pa.ChunkedArray:
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            column = file.read(columns=[name]).column(0)
        if column.null_count and name in _NEVER_EMPTY:
            self._refuse(name, f"{column.null_count} empty cells", "a value in each row")
        return column

    def _read_group(self, group: int) -> tuple[list[str], list[pa.Array]]:
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            table = file.read_row_group(group)
        return table.column_names, [column.combine_chunks() for column in table.columns]


class _Lists:
    """A column of lists of numbers, of which each different one is kept once."""

    def __init__(self, batches: Iterable[pa.RecordBatch], dtype: np.dtype) -> None:
        """Take the lists of the first column of batches."""
        parts = [_as_bytes(batch.column(0), dtype) for batch in batches]
        whole = pa.chunked_array(parts, _BYTES).unify_dictionaries().combine_chunks()
        different = whole.dictionary
        self._codes = whole.indices.to_numpy()
        self.values = np.frombuffer(different.buffers()[2] or b"", dtype=dtype)
        """Values of the different lists, one list after the other."""
        self._ends = np.cumsum(pc.binary_length(different).to_numpy() // dtype.itemsize)

    @property
    def lengths(self) -> np.ndarray:
        """Length of each list: (rows,)."""
        return np.diff(self._ends, prepend=0)[self._codes]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the lists of rows that are of one length: (rows, length)."""
        codes = self._codes[rows]
        count = int(self._ends[codes[0]] - (self._ends[codes[0] - 1] if codes[0] else 0))
        return self.values[(self._ends[codes] - count)[:, None] + np.arange(count)]


def _lead_counts(sets: Categories) -> np.ndarray:
    """Return the number of leads of each set of leads."""
    return np.array([name.count(",") + bool(name) for name in sets.names], dtype=np.int64)


def _as_bytes(column: pa.ListArray, dtype: np.dtype) -> pa.DictionaryArray:
    """Return the bytes of each list, each different one once."""
    ends = column.offsets.to_numpy().astype(np.int64) * dtype.itemsize
    values = pa.py_buffer(column.values.to_numpy())
    buffers = [None, pa.py_buffer(ends), values]
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(column), buffers
    ).dictionary_encode()


def _categories(column: pa.ChunkedArray) -> Categories:
    whole = column.unify_dictionaries().combine_chunks()
    return Categories(whole.indices.to_numpy(), tuple(whole.dictionary.to_pylist()))
