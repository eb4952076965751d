"""MIMIC-IV-ECG (Gow et al. 2023): record_list.csv names recordings and patients, others tell more.

Its 800,035 rows are read in one pass each, and what is kept of a row is small.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from shards.entries import Entry, Listing, Reject
from shards.settings import LocalSource
from shards.sources.join import join
from shards.tables.cells import identifier, is_missing, whole_number
from shards.tables.label_table import label_table_of
from shards.tables.read_table import read_csv, table_error

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
_SEPARATOR = "\x1f"


class Cells(Mapping[str, str]):
    """The cells of a row that are not empty, in one text: 800,000 dicts would take 2 GB."""

    __slots__ = ("_columns", "_text")

    def __init__(self, columns: tuple[str, ...], cells: Iterable[str]) -> None:
        """Keep one cell for each of `columns`, which rows share."""
        self._columns = columns
        self._text = _SEPARATOR.join(cell.replace(_SEPARATOR, " ") for cell in cells)

    def _filled(self) -> dict[str, str]:
        cells = zip(self._columns, self._text.split(_SEPARATOR), strict=True)
        return {name: cell for name, cell in cells if cell}

    def __getitem__(self, name: str) -> str:
        """Return the cell of a column."""
        return self._filled()[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the columns."""
        return iter(self._filled())

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._filled())

    def __repr__(self) -> str:
        """Write all cells: equal listings have equal texts."""
        return repr(self._filled())


class _Diagnosed(NamedTuple):
    fold: int | None
    labels: Mapping[str, tuple[str, ...] | None]


class _Records(NamedTuple):
    """The record list; paths of one study are one recording, of which the first is kept."""

    studies: dict[str, str]
    patients: dict[str, str]
    rejects: list[Reject]


def list_mimic(settings: LocalSource) -> Listing | None:
    """List the recordings of the record list, with what the machine measured beside each.

    Labels by study or path come from a table, ICD-10 codes and folds from `diagnoses`.
    """
    path = settings.source / RECORD_LIST
    if not path.is_file():
        return None
    records = _read_records(path)
    paths: dict[str, str] = {}
    for record, study in records.studies.items():
        paths.setdefault(study, record)
    rejects = records.rejects
    measured = _read_measurements(settings.source / MEASUREMENTS, paths, rejects)
    diagnosed: dict[str, _Diagnosed] = {}
    if settings.diagnoses is not None:
        diagnosed = _read_diagnoses(settings.diagnoses, paths, rejects)
    none = _Diagnosed(None, dict.fromkeys(DIAGNOSES if settings.diagnoses else ()))

    def complete(entry: Entry) -> Entry:
        fold, labels = diagnosed.get(entry.path, none)
        return entry._replace(
            about=measured.get(entry.path, entry.about),
            fold=fold if entry.fold is None else entry.fold,
            labels={**entry.labels, **labels} if entry.labels else labels,
        )

    table = label_table_of(settings)
    by_path = {paths.get(identifier(s) or s, s): row for s, row in table.rows.items()}
    listing = join(records.studies, records.patients, table._replace(rows=by_path), complete)
    undiagnosed = len(paths) - len(diagnosed) if settings.diagnoses else 0
    return listing._replace(
        rejects=[*listing.rejects, *rejects],
        without_label_row=listing.without_label_row + undiagnosed,
    )


def _read_records(path: Path) -> _Records:
    records = _Records({}, {}, [])
    for row in read_csv(path, (*_IDENTIFIERS, "path")):
        record = row["path"].strip()
        if record in records.studies:
            records.rejects.append(Reject(record, "duplicate_row", f"twice in {path.name}"))
            continue
        records.studies[record] = identifier(row["study_id"]) or ""
        records.patients[record] = sys.intern(row["subject_id"])
    return records


def _read_measurements(
    path: Path, paths: Mapping[str, str], rejects: list[Reject]
) -> dict[str, Cells]:
    """Return reports and measurements by recording; none where the table is not there."""
    found: dict[str, Cells] = {}
    if not path.is_file():
        return found
    columns: tuple[str, ...] = ()
    for row in read_csv(path, _IDENTIFIERS):
        if not columns:
            reports = sorted(filter(_REPORT.fullmatch, row), key=lambda name: int(name[7:]))
            others = [name for name in row if name not in (*_IDENTIFIERS, *reports)]
            columns = ("report", *others)
        record = _record_of(row["study_id"], path, found, paths, rejects)
        if record is not None:
            lines = (row[name].strip() for name in reports)
            report = "; ".join(line for line in lines if line)
            found[record] = Cells(columns, [report, *(row[name] for name in others)])
    return found


def _read_diagnoses(
    path: Path, paths: Mapping[str, str], rejects: list[Reject]
) -> dict[str, _Diagnosed]:
    """Return codes and folds by recording; those of one stay share theirs in memory."""
    found: dict[str, _Diagnosed] = {}
    same: dict[object, _Diagnosed] = {}
    for row in read_csv(path, ("study_id", *DIAGNOSES)):
        record = _record_of(row["study_id"], path, found, paths, rejects)
        if record is None:
            continue
        cells = {row[name]: _codes(row[name], path, row["study_id"]) for name in DIAGNOSES}
        codes = {name: cells[row[name]] for name in DIAGNOSES}
        cell = row.get(FOLD, "")
        fold = whole_number(cell)
        if fold is None and not is_missing(cell):
            raise table_error(path, f"{FOLD} {cell!r} of study {row['study_id']}")
        key = (fold, *codes.values())
        if key not in same:
            same[key] = _Diagnosed(fold, codes)
        found[record] = same[key]
    return found


def _codes(cell: str, path: Path, study: str) -> tuple[str, ...] | None:
    """Return the codes of a list, or None of an empty one: no stay with diagnoses is known."""
    if cell in ("", "[]"):
        return None
    if not _CODES.fullmatch(cell):
        raise table_error(path, f"{cell[:80]!r} of study {study} is no list of codes")
    return tuple(sys.intern(code) for code in dict.fromkeys(cell[2:-2].split("', '")) if code)


def _record_of(
    study: str,
    path: Path,
    found: Mapping[str, object],
    paths: Mapping[str, str],
    rejects: list[Reject],
) -> str | None:
    """Return the recording of a row, unless it is none or has a row; the row is a reject then."""
    record = paths.get(identifier(study) or study)
    if record is None:
        message = f"{path.name} names it, {RECORD_LIST} lacks it"
        rejects.append(Reject(study, "row_without_record", sys.intern(message)))
    elif record in found:
        message = f"twice in {path.name}; the first row counts"
        rejects.append(Reject(study, "duplicate_row", sys.intern(message)))
        return None
    return record
