"""A folder of shards, read by position: `manifest.json`, `index.parquet` and the tars.

The index has one row per sample: its metadata, its shard, the offset of its raw samples in the
tar, their length and crc32. A sample is one slice of a memory map, wherever it lies.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.errors import InputError
from lamae.files import file_sha256, open_whole
from lamae.storage.index import Index
from lamae.storage.manifest import FORMAT as FORMAT
from lamae.storage.manifest import INDEX as INDEX
from lamae.storage.manifest import MANIFEST as MANIFEST
from lamae.storage.place import open_place
from lamae.storage.samples import SPLITS, Sample, decode_sample
from lamae.storage.signal_reader import Rows, SignalReader

INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),
        ("patient_id", pa.string()),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("fold", pa.int32()),
        ("leads", pa.list_(pa.string())),
        ("samples", pa.int32()),
        ("sampling_rate", pa.int32()),
        ("codec", pa.dictionary(pa.int32(), pa.string())),
        ("missing_samples", pa.int32()),
        ("gain", pa.list_(pa.float64())),
        ("baseline", pa.list_(pa.int32())),
        ("comments", pa.list_(pa.string())),
        ("labels", pa.map_(pa.string(), pa.list_(pa.string()))),
        ("about", pa.map_(pa.string(), pa.string())),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("origin", pa.string()),
        ("content", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("notes", pa.list_(pa.string())),
        ("shard", pa.dictionary(pa.int32(), pa.string())),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
        ("crc32", pa.uint32()),
    ]
)


_ROWS_PER_GROUP = 10_000


def write_index(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write an index as its rows come: `samples.metadata`, shard, offset, bytes and crc32."""
    remaining = iter(rows)
    with open_whole(path) as file, pq.ParquetWriter(file, INDEX_SCHEMA) as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=INDEX_SCHEMA))


def merge_indexes(path: Path, parts: Iterable[Path]) -> None:
    """Write the rows of several indexes, one after the other, as one."""
    with open_whole(path) as file, pq.ParquetWriter(file, INDEX_SCHEMA) as writer:
        waiting: list[pa.Table] = []
        for part in parts:
            waiting.append(pq.read_table(part, schema=INDEX_SCHEMA))
            if sum(table.num_rows for table in waiting) >= _ROWS_PER_GROUP:
                writer.write_table(_as_one(waiting))
                waiting.clear()
        if waiting:
            writer.write_table(_as_one(waiting))


def _as_one(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def describe_index(folder: Path) -> dict[str, Any]:
    """Return what the manifest says of a written index: file, rows, bytes and sha256."""
    return _describe(folder / INDEX)


def _describe(path: Path) -> dict[str, Any]:
    rows, size = pq.read_metadata(path).num_rows, path.stat().st_size
    return {"file": INDEX, "rows": rows, "bytes": size, "sha256": file_sha256(path)}


class Shape(NamedTuple):
    """Properties shared by recordings that can be read as one array."""

    leads: tuple[str, ...]
    """Canonical names of the rows."""
    samples: int
    """Samples of a lead."""
    sampling_rate: int
    """Samples per second."""


class Corpus(SignalReader):
    """Read-only view of shards, in a folder or at a URL."""

    def __init__(
        self, location: Path | str, *, cache: Path | None = None, cache_gb: float | None = None
    ) -> None:
        """Open shards; raises InputError if there are none, or a file is missing or damaged.

        Args:
            location: a folder, or the URL of one (s3, gs, az, https, hf and others).
            cache: folder of this machine to which each shard comes once it is needed; by default
                below the user's cache for a URL, and none for a folder, which is read in place.
            cache_gb: gigabytes that the cache may take; the least recently used files leave.
        """
        place = open_place(location, cache=cache, cache_gb=cache_gb)
        self.manifest = place.manifest
        self.index_path = place.index
        """The index, on this machine."""
        super().__init__(place, _open_index(place.index, self.manifest.get("index")))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._index)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest's list of shards, which holds the SHA-256 of each."""
        listed = json.dumps(self.manifest["shards"], sort_keys=True)
        return hashlib.sha256(listed.encode()).hexdigest()

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of each row: (rows,) of str."""
        return self._index.texts("patient_id").to_numpy(zero_copy_only=False)

    @cached_property
    def keys(self) -> np.ndarray:
        """Key of each row: (rows,) of str."""
        return self._index.texts("key").to_numpy(zero_copy_only=False)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have samples, training first."""
        codes, names = self._index.categories("split")
        present = {names[code] for code in np.unique(codes)}
        return tuple(split for split in SPLITS if split in present)

    def rows(self, split: str) -> np.ndarray:
        """Return the row numbers of a split, in the order of the index.

        Raises InputError for a split without samples.
        """
        codes, names = self._index.categories("split")
        rows = np.flatnonzero(codes == names.index(split)) if split in names else codes[:0]
        if not len(rows):
            raise InputError(
                f"split {split!r} of {self.location}",
                value="0 samples",
                expected=f"one of {sorted(names)}",
                remedy="Build the shards with this split, or name another.",
            )
        return rows

    def rows_of(self, splits: Sequence[str] | None) -> np.ndarray:
        """Return the rows of some splits in rising order, of all recordings for None.

        Raises InputError as `rows`.
        """
        if splits is None:
            return np.arange(len(self))
        return np.sort(np.concatenate([self.rows(split) for split in splits]))

    def lengths(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return samples per lead, and samples per second, of rows: int64 (rows,) each."""
        names = ("samples", "sampling_rate")
        samples, rates = (self._index.numbers(name)[rows].astype(np.int64) for name in names)
        return samples, rates

    def shape_groups(self, rows: Rows) -> np.ndarray:
        """Return a number for each row, equal for those of one shape; -1 where samples lack."""
        samples, rates = self.lengths(rows)
        columns = np.stack([samples, rates, self._index.lead_sets.codes[rows]])
        groups = np.unique(columns, axis=1, return_inverse=True)[1]
        return np.where(self._index.numbers("missing_samples")[rows] > 0, -1, groups)

    def common_shape(self, rows: Rows) -> Shape | None:
        """Return the shape of rows that have the same, and no missing sample; else None."""
        groups = self.shape_groups(rows)
        if groups.any():  # the first group of several, or of one, is 0
            return None
        samples, rates = self.lengths(rows[:1])
        leads = self._index.lead_sets
        names = leads.names[leads.codes[rows[0]]]
        return Shape(tuple(names.split(",")), int(samples[0]), int(rates[0]))

    def lead_sets(self, rows: Rows) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
        """Return a number for the set of leads of each row, and the leads of each set."""
        sets = self._index.lead_sets
        return sets.codes[rows], tuple(tuple(name.split(",")) for name in sets.names)

    def shard_codes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the shard of each row, int32 (rows,), as its place in the names that follow."""
        codes, names = self._index.categories("shard")
        return codes, names

    def expect(self, shards: Sequence[int]) -> None:
        """Fetch shards that will be read next, by their codes and in this order.

        Of a folder that is read in place nothing is fetched.
        """
        names = self.shard_codes()[1]
        self._place.expect(names[code] for code in shards)

    def label_sets(self) -> list[str]:
        """Return the names of the label sets that some sample has."""
        names = (batch.column(0).keys.unique() for batch in self._index.batches("labels"))
        return sorted({name.as_py() for some in names for name in some})

    def labels(self, label_set: str) -> list[tuple[str, ...] | None]:
        """Return the classes of every row in a label set; None where it is unlabelled.

        Raises InputError for a label set that the corpus does not have.
        """
        entries = (each for b in self._index.batches("labels") for each in _values(b, label_set))
        found = [None if classes is None else tuple(classes) for classes in entries]
        if all(classes is None for classes in found) and label_set not in self.label_sets():
            raise InputError(
                f"label set {label_set!r} of {self.location}",
                value="not in the shards",
                expected=f"one of {self.label_sets()}",
                remedy="Name one of these, or build the shards with a table that has it.",
            )
        return found

    def facts(self) -> list[str]:
        """Return the names of the facts that are known about some sample, such as age and sex."""
        names = (batch.column(0).keys.unique() for batch in self._index.batches("about"))
        return sorted({name.as_py() for some in names for name in some})

    def about(self, fact: str) -> list[str | None]:
        """Return a fact about every row, as its source has it; None where it is unknown."""
        return [cell for b in self._index.batches("about") for cell in _values(b, fact)]

    def flags(self) -> list[tuple[str, ...]]:
        """Return the findings of quality control of every row."""
        return [tuple(each) for b in self._index.batches("flags") for each in b[0].to_pylist()]

    def sample(self, row: int) -> Sample:
        """Read one sample, all of it; raises InputError where its bytes are not those written."""
        fields = self._index.row(row)
        return decode_sample(fields, self.stored(row))


def _values(batch: pa.RecordBatch, key: str) -> list[Any]:
    """Return the value of a key in each map of a batch's column; None where a map lacks it."""
    maps = batch.column(0)
    ends = maps.offsets.to_numpy()
    entries = np.flatnonzero(pc.equal(maps.keys, key).to_numpy(zero_copy_only=False))
    entries = entries[(entries >= ends[0]) & (entries < ends[-1])]
    found: list[Any] = [None] * len(maps)
    owners = np.searchsorted(ends, entries, side="right") - 1
    for owner, value in zip(owners, maps.items.take(pa.array(entries)).to_pylist(), strict=True):
        found[owner] = value
    return found


def _open_index(path: Path, expected: dict[str, Any] | None) -> Index:
    """Open the index, if it is the one that the manifest describes."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("a folder, pipe or device")
        found = _describe(path)
        if expected not in (None, found):
            value = f"{found['rows']} rows, {found['bytes']} bytes, sha256 {found['sha256']}"
        elif not pq.read_schema(path).equals(INDEX_SCHEMA):
            value = "other columns than this version writes"
        else:
            return Index(path)
    except (OSError, pa.ArrowException) as error:
        value = str(error)
    raise InputError(
        f"index {path}",
        value=value,
        expected=f"the index that {MANIFEST} describes",
        remedy="Copy it again, or build the shards again.",
    )
