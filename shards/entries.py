"""The listing of a source: recordings to read, and rejects.

A million recordings are listed, so that a listing is columns: texts that return are stored once for
some thousand rows, and a row becomes an `Entry` when it is asked for.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

BUILDING = ".building"
"""Folder of an unfinished build in its output."""

Reader = Literal[
    "wfdb", "icbeb", "npy", "csv", "code15", "hdf5", "by_content", "webdataset", "huggingface"
]
"""Readers of an entry's file: shards/build/read.py has a function for each."""

Classes = tuple[str, ...] | None
"""Classes of a label set; None is unlabelled."""

LABELS_OF, ABOUT = "labels/", "about/"
"""Beginnings of the columns of label sets, and of other facts."""

TEXT, REPEATED = pa.string(), pa.dictionary(pa.int32(), pa.string())
_TYPES = {"name": TEXT, "key": TEXT, "path": TEXT, "fold": pa.int32(), "item": pa.int32()}
_ROWS_AT_ONCE = 2**14
_ROWS_AS_OBJECTS = 2**10


class Entry(NamedTuple):
    """One recording of a source, not read yet."""

    key: str
    """Key of its sample, unique in the corpus."""
    path: str
    """Path below the source folder; of a WFDB record without extension."""
    patient_id: str
    """Patient; the recording itself where the source does not say."""
    fold: int | None
    """Cross-validation fold that the source publishes, where it has one."""
    labels: Mapping[str, Classes]
    """For each label set its classes; None is unlabelled."""
    split: str | None = None
    """Split that the user's table names; None leaves it to the settings."""
    about: Mapping[str, str] = {}
    """Other facts of the source's tables: report, measurements, likelihoods."""
    origin: str = ""
    """`<dataset>/<record>` of the first publication, where the source is a copy of it or it."""
    reader: Reader = "wfdb"
    """Reader of the file."""
    item: int | None = None
    """Place in a file that holds many recordings."""

    @property
    def name(self) -> str:
        """Name in rejects and samples: its path, and its place in the file."""
        return self.path if self.item is None else f"{self.path}#{self.item}"


COLUMNS = tuple(name for name in Entry._fields if name not in ("labels", "about"))
"""Columns that every listing has."""


class Reject(NamedTuple):
    """Something of the source that is not in the shards, and why."""

    name: str
    """Path of the recording below the source folder."""
    reason: str
    """Name under which it is counted."""
    message: str
    """Fault, for a person."""


class RowWriter:
    """Rows become columns, some thousand at a time: numbers, texts, and texts that return."""

    def __init__(self, *names: str) -> None:
        """Begin without rows; columns of these names are there even if none comes."""
        self._rows: list[Mapping[str, object]] = []
        self._tables = [pa.table({name: pa.array([], _type_of(name)) for name in names})]

    def add(self, row: Mapping[str, object]) -> None:
        """Add a row; a column that it lacks, or that comes later, is null."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_ONCE:
            self._flush()

    def table(self) -> pa.Table:
        """Return all rows."""
        self._flush()
        return stacked(self._tables)

    def _flush(self) -> None:
        if self._rows:
            names = dict.fromkeys(name for row in self._rows for name in row)
            columns = {
                name: pa.array([row.get(name) for row in self._rows], _type_of(name))
                for name in names
            }
            self._tables.append(pa.table(columns))
            self._rows.clear()


def _type_of(name: str) -> pa.DataType:
    return _TYPES.get(name, REPEATED)


def stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of tables below each other; a column that one lacks is null there."""
    return pa.concat_tables(tables, promote_options="default")


def columns_of(entry: Entry) -> dict[str, object]:
    """Return a row of a listing's columns."""
    row = entry._asdict()
    labels, about = row.pop("labels"), row.pop("about")
    row |= {f"{LABELS_OF}{name}": text_of(classes) for name, classes in labels.items()}
    return row | {f"{ABOUT}{name}": cell for name, cell in about.items()}


@lru_cache(4096)
def text_of(classes: Classes) -> str:
    """Return classes as a cell of a column of labels."""
    return json.dumps(classes, ensure_ascii=False)


@lru_cache(4096)
def classes_of(text: str) -> Classes:
    """Return the classes of a cell of a column of labels."""
    classes = json.loads(text)
    return None if classes is None else tuple(classes)


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows of a listing's columns, labels and other facts as dicts, and read few at once."""
    labels, about = (
        {name.removeprefix(start): name for name in table.column_names if name.startswith(start)}
        for start in (LABELS_OF, ABOUT)
    )
    gathered = {*labels.values(), *about.values()}
    fixed = [name for name in table.column_names if name not in gathered]
    for batch in table.to_batches(_ROWS_AS_OBJECTS):
        for row in batch.to_pylist():
            classes = {name: row[column] for name, column in labels.items()}
            facts = {name: row[column] for name, column in about.items()}
            yield {
                **{name: row[name] for name in fixed},
                "labels": {n: classes_of(text) for n, text in classes.items() if text is not None},
                "about": {name: cell for name, cell in facts.items() if cell is not None},
            }


def entries_of(table: pa.Table) -> Iterator[Entry]:
    """Yield the rows of a listing's columns as entries."""
    return (Entry(**row) for row in rows_of(table))


@dataclass(frozen=True)
class Listing:
    """All of a source."""

    table: pa.Table
    """Recordings, in the order in which they are written: the fields of `Entry` as columns."""
    rejects: list[Reject]
    """Files and rows refused without reading a recording."""
    without_label_row: int
    """Recordings that the label table does not name; kept, unlabelled."""
    without_patient: int = 0
    """Recordings whose patient nothing names: each counts as its own."""
    patients_unread: int = 0
    """Recordings whose files were not opened, so that their patients are not known yet."""
    found: tuple[str, ...] = ()
    """Sentences for a person: how the tables of the source were read."""
    doubts: tuple[str, ...] = ()
    """Sentences for a person: what should be looked at."""

    def __len__(self) -> int:
        """Return the number of recordings."""
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the recordings."""
        return entries_of(self.table)

    @property
    def entries(self) -> list[Entry]:
        """All recordings as rows, for a listing that is small."""
        return list(self)

    def entry(self, place: int) -> Entry:
        """Return one recording."""
        return next(entries_of(self.table.slice(place, 1)))

    def count_distinct(self, column: str) -> int:
        """Return the number of different texts of a column."""
        return int(pc.count_distinct(as_texts(self.table[column])).as_py())

    def digest(self) -> str:
        """Return a SHA-256 over the checksums of all columns, and the rejects."""
        found = {name: _checksum(self.table[name]) for name in self.table.column_names}
        digest = hashlib.sha256(json.dumps(found).encode())
        for reject in self.rejects:
            digest.update(repr(reject).encode())
        return digest.hexdigest()


def table_of(entries: Iterable[Entry]) -> pa.Table:
    """Return the columns of a listing of entries that come one by one."""
    rows = RowWriter(*COLUMNS)
    for entry in entries:
        rows.add(columns_of(entry))
    return rows.table()


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of texts without dictionaries, which may differ between its chunks."""
    return column.cast(TEXT)


def _checksum(column: pa.ChunkedArray) -> str:
    """Return a checksum of the values of a column, however they are stored."""
    lengths, content = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        for start in range(0, len(chunk), _ROWS_AT_ONCE):
            texts = chunk.slice(start, _ROWS_AT_ONCE).cast(TEXT)
            lengths.update(pc.fill_null(pc.binary_length(texts), -1).to_numpy())
            content.update(pc.binary_join(_as_one_list(texts), "")[0].as_buffer())
    return lengths.hexdigest() + content.hexdigest()


def _as_one_list(texts: pa.StringArray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), pc.fill_null(texts, ""))
