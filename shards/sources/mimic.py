"""MIMIC-IV-ECG (Gow et al. 2023): record_list.csv names recordings and patients, others tell more.

Its 800,035 rows are columns from the first table to the last. A row of another table finds the
place of its recording by study, and its columns are taken in the order of the recordings.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.storage.samples import sample_key
from shards.entries import (
    ABOUT,
    LABELS_OF,
    TEXT,
    Listing,
    Reject,
    RowWriter,
    stacked,
    text_of,
)
from shards.repeated import repeated, texts_of
from shards.settings import LocalSource
from shards.sources.join import patient_of, refused_path, row_without_record, short_key
from shards.tables.cells import identifier, is_missing, whole_number
from shards.tables.label_table import labels_file
from shards.tables.labelled_rows import LabelledRows, read_labelled_rows
from shards.tables.places import (
    Columns,
    at,
    chosen,
    columns_in,
    constant,
    first_rows,
    last_rows,
    mapped,
    places_of,
    taken,
)
from shards.tables.read_table import open_table, read_csv, table_error

RECORD_LIST = "record_list.csv"
MEASUREMENTS = "machine_measurements.csv"

DIAGNOSES = ("ed_diag_ed", "ed_diag_hosp", "hosp_diag_hosp", "all_diag_hosp", "all_diag_all")
"""Label sets of MIMIC-IV-ECG-Ext-ICD (Strodthoff et al. 2024): ICD-10 codes by where they are from.

ED or hospital discharge of the stay in which the recording was made, and their unions.
"""
FOLD = "fold"
"""Column of its 20 folds that the published benchmark used."""

_IDENTIFIERS = ("subject_id", "study_id")
_REPORT = re.compile(r"report_\d+")
_CODES = re.compile(r"\[(?:'[^']*'(?:, '[^']*')*)?\]")
_UNLABELLED = text_of(None)
_BATCHES_OF_A_PIECE = 16
_FEW = pa.dictionary(pa.int8(), TEXT)
_CONSTANT = {
    "fold": pa.scalar(None, pa.int8()),
    "split": pa.scalar(None, _FEW),
    "origin": pa.scalar("", _FEW),
    "reader": pa.scalar("wfdb", _FEW),
    "item": pa.scalar(None, pa.int8()),
}
"""Columns that no table, or only some, can tell."""


def list_mimic(settings: LocalSource) -> Listing | None:
    """List the recordings of the record list, with what the machine measured beside each.

    Labels by study or path come from a table, ICD-10 codes and folds from `diagnoses`.
    """
    path = settings.source / RECORD_LIST
    if not path.is_file():
        return None
    labels = labels_file(settings)
    labelled = None if labels is None else read_labelled_rows(labels, settings)
    pa.default_memory_pool().release_unused()
    joined = _Joined(*_read_records(path))
    pa.default_memory_pool().release_unused()
    if labelled is not None:
        joined.add_labels(labelled)
    if (settings.source / MEASUREMENTS).is_file():
        joined.add_measurements(settings.source / MEASUREMENTS)
    if settings.diagnoses is not None:
        joined.add_diagnoses(settings.diagnoses)
    return joined.listing(labelled)


def _read_records(path: Path) -> tuple[pa.Table, list[Reject]]:
    """Return path, study and subject of each recording, and the rows whose path comes again."""
    rows = RowWriter("path", "name", "subject")
    for row in read_csv(path, (*_IDENTIFIERS, "path")):
        study = identifier(row["study_id"]) or ""
        rows.add({"path": row["path"].strip(), "name": study, "subject": row["subject_id"]})
    table = rows.table()
    twice = repeated(lambda: texts_of(table["path"]))
    if not twice:
        return table, []
    seen = set[str]()
    kept = []
    rejects = []
    for record in texts_of(table["path"]):
        kept.append(record not in seen)
        if not kept[-1]:
            rejects.append(Reject(record, "duplicate_row", f"twice in {path.name}"))
        elif record in twice:
            seen.add(record)
    return table.filter(pa.array(kept)), rejects


class _Joined:
    """The recordings of the record list, to which tables add their columns.

    Paths of one study are one recording, of which the first is kept.
    """

    def __init__(self, records: pa.Table, rejects: list[Reject]) -> None:
        """Begin with paths, studies and subjects, and with rows of the list that come again."""
        self._studies, self._number = records["name"], records.num_rows
        self._rejects, self._unlabelled = rejects, list[Reject]()
        self._without_row = self._unknown = 0
        self._refused: dict[int, Reject] = {}
        self._columns = self._identified(records) | {"path": records["path"]}
        self._columns |= {name: constant(value, self._number) for name, value in _CONSTANT.items()}

    def _identified(self, records: pa.Table) -> Columns:
        """Return key, path and patient of each recording; refuses paths that cannot be read."""
        own = places_of(self._studies, self._studies) == np.arange(self._number)
        shared = repeated(lambda: map(sample_key, at(self._studies, np.flatnonzero(own))))
        rows = RowWriter("key", "patient_id")
        texts = zip(*(texts_of(records[n]) for n in ("path", "name", "subject")), strict=True)
        for place, (path, study, subject) in enumerate(texts):
            patient = None
            if (refused := refused_path(path, study)) is not None:
                self._refused[place] = refused
            else:
                patient = patient_of(path, subject)
                self._unknown += patient is None
            key = short_key(study, shared)
            rows.add({"key": key, "patient_id": patient or path})
        own = columns_in(rows.table())
        keys = own.pop("key")
        return {"key": records["name"] if keys.equals(records["name"]) else keys} | own

    def add_labels(self, labelled: LabelledRows) -> None:
        """Add fold, split, labels and facts of a user's table, by study or else by path."""
        added = columns_in(labelled.table)
        names = added.pop("name")
        places = places_of(mapped(lambda name: identifier(name) or name, names), self._studies)
        by_path = np.flatnonzero(places < 0)
        if len(by_path):
            places[by_path] = places_of(names.take(pa.array(by_path)), self._columns["path"])
        unknown = np.flatnonzero(places < 0)
        self._unlabelled = [row_without_record(name) for name in at(names, unknown)]
        rows = last_rows(places, self._number)
        self._without_row = int((rows < 0).sum()) if len(names) else 0
        added.pop("patient_id")
        unlabelled = {f"{LABELS_OF}{name}": _UNLABELLED for name in labelled.label_sets}
        none = pa.scalar(_UNLABELLED, _FEW)
        self._columns |= {name: constant(none, self._number) for name in unlabelled}
        self._columns |= taken(added, rows, missing=unlabelled)

    def add_measurements(self, path: Path) -> None:
        """Add what the machine measured, in place of facts of a user's table."""
        studies, measured = _read_measurements(path)
        rows = self._first_rows(studies, path)
        others = {n: c for n, c in self._columns.items() if n.startswith(ABOUT)}
        found = taken(measured, rows)
        self._columns |= chosen(rows >= 0, found, others) if others else found
        pa.default_memory_pool().release_unused()

    def add_diagnoses(self, path: Path) -> None:
        """Add codes and folds of stays; a recording of no row is unlabelled."""
        added = columns_in(_read_diagnoses(path))
        rows = self._first_rows(added.pop("name"), path)
        missing = {f"{LABELS_OF}{name}": _UNLABELLED for name in DIAGNOSES}
        found = taken(added, rows, missing=missing)
        found[FOLD] = pc.coalesce(self._columns[FOLD], found[FOLD])
        self._columns |= found
        first = places_of(self._studies, self._studies) == np.arange(self._number)
        self._without_row += int((rows[first] < 0).sum())

    def _first_rows(self, studies: pa.ChunkedArray, path: Path) -> np.ndarray:
        """Return the row of each recording in a table by study; its other rows are rejects."""
        places = places_of(mapped(lambda s: identifier(s) or s, studies), self._studies)
        found = first_rows(places, self._number)
        for row, study in zip(found.unknown, at(studies, found.unknown), strict=True):
            if places[row] < 0:
                message = f"{path.name} names it, {RECORD_LIST} lacks it"
                self._rejects.append(Reject(study, "row_without_record", message))
            else:
                message = f"twice in {path.name}; the first row counts"
                self._rejects.append(Reject(study, "duplicate_row", message))
        return found.of

    def listing(self, labelled: LabelledRows | None) -> Listing:
        """Return all recordings that can be read."""
        table = pa.table(self._columns)
        if self._refused:
            kept = np.ones(self._number, dtype=bool)
            kept[list(self._refused)] = False
            table = table.filter(pa.array(kept))
        rejects = [*self._unlabelled, *self._refused.values()]
        return Listing(
            table,
            [*rejects, *(labelled.rejects if labelled else ()), *self._rejects],
            self._without_row,
            self._unknown,
            found=labelled.found if labelled else (),
            doubts=labelled.doubts if labelled else (),
        )


def _read_measurements(path: Path) -> tuple[pa.ChunkedArray, Columns]:
    """Return the studies of a table, and its reports and other cells, null where these are empty.

    The lines of a report are one text.
    """
    table = open_table(path, _IDENTIFIERS)
    reports = sorted(filter(_REPORT.fullmatch, table.columns), key=lambda name: int(name[7:]))
    others = [name for name in table.columns if name not in (*_IDENTIFIERS, *reports)]
    studies, batches, pieces = [], list[pa.Table](), [pa.table({})]
    for batch in table.batches():
        studies.append(batch["study_id"])
        cells = {f"{ABOUT}report": _joined_lines(batch.select(reports))} if reports else {}
        cells |= {f"{ABOUT}{name}": batch[name] for name in others}
        batches.append(pa.table({name: _by_dictionary(cell) for name, cell in cells.items()}))
        if len(batches) == _BATCHES_OF_A_PIECE:
            pieces.append(_as_one(batches))
            batches.clear()
            pa.default_memory_pool().release_unused()
    return pa.chunked_array(studies, TEXT), columns_in(stacked([*pieces, *batches]))


def _as_one(batches: list[pa.Table]) -> pa.Table:
    """Return batches as one, whose texts that return are stored once."""
    return stacked(batches).unify_dictionaries().combine_chunks()


def _joined_lines(lines: pa.RecordBatch) -> pa.Array:
    plain = [_filled(pc.utf8_trim_whitespace(column)) for column in lines.columns]
    text = plain[0]
    for line in plain[1:]:
        text = pc.coalesce(pc.binary_join_element_wise(text, line, "; "), text, line)
    return text


def _filled(cells: pa.Array) -> pa.Array:
    """Return cells with null for an empty one."""
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, TEXT), cells)


def _by_dictionary(cells: pa.Array) -> pa.Array:
    return _filled(cells).dictionary_encode()


def _read_diagnoses(path: Path) -> pa.Table:
    """Return study, fold and codes of each row."""
    rows = RowWriter("name", FOLD)
    for row in read_csv(path, ("study_id", *DIAGNOSES)):
        study, cell = row["study_id"], row.get(FOLD, "")
        fold = whole_number(cell)
        if fold is None and not is_missing(cell):
            raise table_error(path, f"{FOLD} {cell!r} of study {study}")
        codes = {name: _codes(row[name]) for name in DIAGNOSES}
        for name, found in codes.items():
            if found is None:
                raise table_error(path, f"{row[name][:80]!r} of study {study} is no list of codes")
        rows.add({"name": study, FOLD: fold} | {f"{LABELS_OF}{n}": c for n, c in codes.items()})
    return rows.table()


@lru_cache(4096)
def _codes(cell: str) -> str | None:
    """Return the codes of a list as a cell of labels, None for what is no list.

    An empty list is unlabelled: no stay with diagnoses is known.
    """
    if cell in ("", "[]"):
        return _UNLABELLED
    if not _CODES.fullmatch(cell):
        return None
    return text_of(tuple(code for code in dict.fromkeys(cell[2:-2].split("', '")) if code))
