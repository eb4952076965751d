"""Facts about recordings and their patients: numbers such as age, categories such as sex."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.storage.corpus import INDEX
from lamae.storage.samples import SPLITS
from shards.tables.cells import number
from shards.tables.columns import is_about

_MIN_NUMBERS = 12
"""Numbers of fewer different values are categories."""
_MAX_CATEGORIES = 60
"""A column of more different texts, such as reports, is not drawn."""
_ROWS_AT_ONCE = 2**12


class Facts(NamedTuple):
    """One column about the recordings."""

    name: str
    """Name of the column."""
    records: int
    """Recordings of which it is known."""
    numbers: np.ndarray | None
    """The values, where they are numbers."""
    categories: dict[str, dict[str, int]]
    """Recordings of each value by split, where they are categories."""


def known_facts(folder: Path, named: Collection[str] = ()) -> list[Facts]:
    """Return the columns about a person or a recording that can be drawn, by name.

    Those are the ones that a build was told by name, and those of usual names.
    """
    columns: dict[str, _Column] = defaultdict(_Column)
    with pq.ParquetFile(folder / INDEX) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["about", "split"]):
            about, split = batch.column("about"), batch.column("split").to_numpy(False)
            ends = about.offsets.to_numpy()  # within all that was read, of which this is a slice
            keys, items = about.keys[ends[0] : ends[-1]], about.items[ends[0] : ends[-1]]
            rows = np.repeat(np.arange(len(about)), np.diff(ends))
            wanted = [n for n in pc.unique(keys).to_pylist() if n in named or is_about(n)]
            chosen = np.asarray(pc.is_in(keys, pa.array(wanted, pa.string())))
            kept = pa.array(chosen)
            names, cells = keys.filter(kept).to_pylist(), items.filter(kept).to_pylist()
            for name, cell, row in zip(names, cells, rows[chosen], strict=True):
                columns[name].add(cell, split[row])
    found = (columns[name].facts(name) for name in sorted(columns))
    return [facts for facts in found if facts is not None]


class _Column:
    """The cells of one column, counted by split for as long as they may be categories."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, str]]()
        self._distinct = set[str]()
        self._numbers: array[float] | None = array("d")
        """All values; None where one is no number."""

    def add(self, cell: str, split: str) -> None:
        """Take one cell; of more texts than are drawn nothing is kept."""
        value = None if self._numbers is None else number(cell)
        if value is None:
            self._numbers = None
        elif self._numbers is not None:
            self._numbers.append(value)
        if len(self._distinct) <= _MAX_CATEGORIES:
            self._distinct.add(cell)
            self._counts[cell, split] += 1

    def facts(self, name: str) -> Facts | None:
        """Return the numbers, or the categories; None where there are too many."""
        distinct = sorted(self._distinct)
        if self._numbers is not None and len(distinct) >= _MIN_NUMBERS:
            return Facts(name, len(self._numbers), np.array(self._numbers), {})
        if len(distinct) > _MAX_CATEGORIES:
            return None
        table = {cell: {s: self._counts[cell, s] for s in SPLITS} for cell in distinct}
        return Facts(name, self._counts.total(), None, table)
