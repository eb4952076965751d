"""Facts about recordings and their patients: numbers such as age, categories such as sex."""

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
    values: dict[str, list[str]] = defaultdict(list)
    splits: dict[str, list[str]] = defaultdict(list)
    with pq.ParquetFile(folder / INDEX) as file:
        for batch in file.iter_batches(columns=["about", "split"]):
            about, split = batch.column("about"), batch.column("split").to_numpy(False)
            rows = np.repeat(np.arange(len(about)), np.diff(about.offsets.to_numpy()))
            wanted = [n for n in pc.unique(about.keys).to_pylist() if n in named or is_about(n)]
            chosen = np.asarray(pc.is_in(about.keys, pa.array(wanted, pa.string())))
            kept = pa.array(chosen)
            names, cells = about.keys.filter(kept).to_pylist(), about.items.filter(kept).to_pylist()
            for name, cell, row in zip(names, cells, rows[chosen], strict=True):
                values[name].append(cell)
                splits[name].append(split[row])
    found = (_facts(name, values[name], splits[name]) for name in sorted(values))
    return [facts for facts in found if facts is not None]


def _facts(name: str, cells: list[str], splits: list[str]) -> Facts | None:
    distinct = set(cells)
    numbers = {cell: number(cell) for cell in distinct}
    if None not in numbers.values() and len(distinct) >= _MIN_NUMBERS:
        return Facts(name, len(cells), np.array([numbers[cell] for cell in cells]), {})
    if len(distinct) > _MAX_CATEGORIES:
        return None
    counts = Counter(zip(cells, splits, strict=True))
    table = {cell: {split: counts[cell, split] for split in SPLITS} for cell in sorted(distinct)}
    return Facts(name, len(cells), None, table)
