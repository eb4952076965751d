"""A folder of shards, read by position: `manifest.json`, `index.parquet` and the tars.

The index has one row per sample: its metadata, its shard, the offset of its raw samples in the
tar, their length and crc32. A sample is one slice of a memory map, wherever it lies.
"""

import hashlib
import json
import mmap
from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from lamae.errors import InputError
from lamae.files import open_whole
from lamae.samples import Sample, decode_sample

MANIFEST = "manifest.json"
INDEX = "index.parquet"
FORMAT = "lamae-shards-2"

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


def describe_index(folder: Path) -> dict[str, Any]:
    """Return what the manifest says of a written index: file, rows, bytes and sha256."""
    path = folder / INDEX
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows
    return {"file": INDEX, "rows": rows, "bytes": path.stat().st_size, "sha256": digest}


class _File(BaseModel):
    file: str
    bytes: int


class _IndexFile(_File):
    rows: int
    sha256: str


class _Manifest(BaseModel):
    """What a corpus needs of its manifest."""

    shards: list[_File]
    index: _IndexFile | None = None
    """None in a manifest that was written before it had this entry."""


class Corpus:
    """Read-only view of a shard folder."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; raises InputError if it is not one, or a file is missing or damaged."""
        self.folder = folder
        self.manifest = _read_manifest(folder)
        self._index = _read_index(folder, self.manifest.get("index"))
        self._maps: dict[str, mmap.mmap] = {}
        self._check_shards()

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
        return np.asarray(self._index["patient_id"].to_pylist(), dtype=object)

    @cached_property
    def keys(self) -> np.ndarray:
        """Key of each row: (rows,) of str."""
        return np.asarray(self._index["key"].to_pylist(), dtype=object)

    @cached_property
    def _splits(self) -> np.ndarray:
        return np.asarray(self._index["split"].to_pylist(), dtype=object)

    def rows(self, split: str) -> np.ndarray:
        """Return the row numbers of a split, in the order of the index.

        Raises InputError for a split without samples.
        """
        rows = np.flatnonzero(self._splits == split)
        if not len(rows):
            raise InputError(
                f"split {split!r} of {self.folder}",
                value="0 samples",
                expected=f"one of {sorted(set(self._splits))}",
                remedy="Build the shards with this split, or name another.",
            )
        return rows

    def label_sets(self) -> list[str]:
        """Return the names of the label sets that some sample has."""
        return sorted({name for labels in self._labels for name in labels})

    def labels(self, label_set: str) -> list[tuple[str, ...] | None]:
        """Return the classes of every row in a label set; None where it is unlabelled.

        Raises InputError for a label set that the corpus does not have.
        """
        if label_set not in self.label_sets():
            raise InputError(
                f"label set {label_set!r} of {self.folder}",
                value="not in the shards",
                expected=f"one of {self.label_sets()}",
                remedy="Name one of these, or build the shards with a table that has it.",
            )
        found = [labels.get(label_set) for labels in self._labels]
        return [None if classes is None else tuple(classes) for classes in found]

    @cached_property
    def _labels(self) -> list[dict[str, list[str] | None]]:
        return [dict(pairs or ()) for pairs in self._index["labels"].to_pylist()]

    def sample(self, row: int) -> Sample:
        """Read one sample; raises InputError where its bytes are not those written."""
        fields = self._index.slice(row, 1).to_pylist()[0]
        start, end = fields["offset"], fields["offset"] + fields["bytes"]
        return decode_sample(fields, memoryview(self._map(fields["shard"]))[start:end])

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            with (self.folder / shard).open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]

    def _check_shards(self) -> None:
        for shard in self.manifest["shards"]:
            path = self.folder / shard["file"]
            found = path.stat().st_size if path.is_file() else None
            if found != shard["bytes"]:
                raise InputError(
                    f"shard {path}",
                    value="missing" if found is None else f"{found} bytes",
                    expected=f"{shard['bytes']} bytes, as the manifest says",
                    remedy="Copy it again, or build the shards again.",
                )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"shard folder {folder}",
            value=f"no {MANIFEST}",
            expected="a folder that shards/main.py has finished",
            remedy="Check data=, or build the shards first.",
        )
    try:
        manifest = json.loads(path.read_text())
        found = manifest.get("format")
    except (OSError, ValueError, AttributeError) as error:
        found = str(error)
    if found != FORMAT:
        raise InputError(
            f"{path}",
            value=f"format {found!r}",
            expected=repr(FORMAT),
            remedy="Build the shards again with this version.",
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(
            f"{path}",
            value=f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}",
            expected="the shards and the index of the folder",
            remedy="Copy it again, or build the shards again.",
        ) from None
    return manifest


def _read_index(folder: Path, expected: dict[str, Any] | None) -> pa.Table:
    """Read the index, if it is the one that the manifest describes."""
    try:
        found = describe_index(folder)
        if expected in (None, found):
            return pq.read_table(folder / INDEX, schema=INDEX_SCHEMA)
        value = f"{found['rows']} rows, {found['bytes']} bytes, sha256 {found['sha256']}"
    except (OSError, pa.ArrowException) as error:
        value = str(error)
    raise InputError(
        f"index {folder / INDEX}",
        value=value,
        expected=f"the index that {MANIFEST} describes",
        remedy="Copy it again, or build the shards again.",
    )
