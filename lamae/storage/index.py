"""The index of a corpus, column by column: what nobody asks for is never read.

A corpus can have a million rows of which a training run needs a few numbers each, so that numbers
are numpy columns, texts stay in Arrow, and whole rows are read a row group at a time.
"""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BATCH_ROWS = 2**16
_KEPT_GROUPS = 4


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
            self._numbers[name] = self._read(name).to_numpy()
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
        """The leads of each row; a name is a set's leads in their order, joined by commas."""
        parts = [
            pc.binary_join(batch.column(0), ",").dictionary_encode()
            for batch in self.batches("leads")
        ]
        return _categories(pa.chunked_array(parts))

    @cached_property
    def lead_counts(self) -> np.ndarray:
        """Number of leads of each row, (rows,)."""
        sets = self.lead_sets
        counts = [name.count(",") + 1 if name else 0 for name in sets.names]
        return np.array(counts, dtype=np.int64)[sets.codes]

    @cached_property
    def lead_ends(self) -> np.ndarray:
        """Ends of the leads of each row in `gains` and `baselines`, (rows,)."""
        return np.cumsum(self.lead_counts)

    @cached_property
    def gains(self) -> np.ndarray:
        """Gain of each lead of each row, one row after the other: float64 (leads of all rows,)."""
        return self._flattened("gain", np.float64)

    @cached_property
    def baselines(self) -> np.ndarray:
        """As `gains`, the baselines: int32."""
        return self._flattened("baseline", np.int32)

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
            return file.read(columns=[name]).column(0)

    def _read_group(self, group: int) -> tuple[list[str], list[pa.Array]]:
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            table = file.read_row_group(group)
        return table.column_names, [column.combine_chunks() for column in table.columns]

    def _flattened(self, name: str, dtype: type[np.number]) -> np.ndarray:
        found = np.empty(self.lead_counts.sum(), dtype=dtype)
        end = 0
        for batch in self.batches(name):
            values = batch.column(0).flatten()
            found[end : end + len(values)] = values.to_numpy()
            end += len(values)
        return found


def _categories(column: pa.ChunkedArray) -> Categories:
    whole = column.unify_dictionaries().combine_chunks()
    return Categories(whole.indices.to_numpy(), tuple(whole.dictionary.to_pylist()))
