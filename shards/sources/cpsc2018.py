"""CPSC 2018 (Liu et al. 2018), as WFDB records or as the original MATLAB files.

The set has no patient ids: each record is its own patient.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lamae.readers.wfdb.record_files import read_wfdb_comments
from shards.entries import Entry, Listing
from shards.settings import LocalSource
from shards.sources.challenge import age_and_sex, by_path, complete_records, diagnoses, origin
from shards.sources.join import files_below, join
from shards.tables.label_row import LabelRow
from shards.tables.label_table import LABELS, NO_TABLE, LabelTable, read_label_table
from shards.tables.read_table import open_table, read_csv, table_error

LABEL_SET = "cpsc2018"
"""The nine classes."""
CLASSES = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
"""In the order of their numbers in REFERENCE.csv, from 1."""
REFERENCE = "REFERENCE.csv"

_CODES = {
    "426783006": "Normal", "164889003": "AF", "270492004": "I-AVB", "164909002": "LBBB",
    "59118001": "RBBB", "284470004": "PAC", "164884008": "PVC", "429622005": "STD",
    "164931005": "STE",
}  # fmt: skip
"""SNOMED CT codes that the Challenge 2020 gave these classes (Perez Alday et al. 2020)."""
_MATLAB = ".mat"
_RECORDING = "Recording"
_NUMBERS = ("First_label", "Second_label", "Third_label")
_RECORD = "record"


def list_cpsc2018(settings: LocalSource) -> Listing | None:
    """List the records below a folder, with classes from a table or else from their headers.

    The table is that of the settings, or REFERENCE.csv anywhere below, or labels.csv.
    """
    paths, rejects = complete_records(settings.source)
    headers = {*paths, *(reject.name for reject in rejects)}
    files = files_below(settings.source, [_MATLAB])
    originals = [path for path in files if path.removesuffix(_MATLAB) not in headers]
    names = {path: PurePosixPath(path).name for path in paths}
    names |= {path: PurePosixPath(path).stem for path in originals}
    if not names:
        return None
    table = by_path(_read_tables(settings), names)

    def complete(entry: Entry) -> Entry:
        entry = entry._replace(origin=origin(entry.key))
        if entry.path.endswith(_MATLAB):
            return entry._replace(reader="icbeb", labels={LABEL_SET: None, **entry.labels})
        comments = read_wfdb_comments(settings.source / f"{entry.path}.hea")
        labels = dict(entry.labels)
        if entry.path not in table.rows:
            labels[LABEL_SET] = _named(comments)
        return entry._replace(about=age_and_sex(comments), labels=labels)

    patients = {path: row.patient_id for path, row in table.rows.items()}
    listing = join(names, patients, table, complete, own=names)
    return replace(listing, rejects=[*listing.rejects, *rejects])


def _named(comments: Iterable[str]) -> tuple[str, ...] | None:
    """Return the classes that a header gives by name or code; what is neither stays as it is."""
    found = diagnoses(comments)
    return found and tuple(dict.fromkeys(_CODES.get(name, name) for name in found))


def _read_tables(settings: LocalSource) -> LabelTable:
    source = settings.source
    tables = [source / path for path in files_below(source, [REFERENCE])]
    if settings.table is not None:
        tables = [settings.table]
    elif not tables and (source / LABELS).is_file():
        tables = [source / LABELS]
    rows: dict[str, LabelRow] = {}
    last = NO_TABLE
    for path in tables:
        table = _read_table(path, settings)
        twice = [name for name, row in table.rows.items() if rows.get(name, row) != row]
        if twice:
            raise table_error(path, f"other classes of {twice[0]} than another {REFERENCE}")
        rows |= table.rows
        last = table
    return last._replace(rows=rows)


def _read_table(path: Path, settings: LocalSource) -> LabelTable:
    """Read class numbers, or a column of 0 and 1 for each class, or any table of labels."""
    columns, usual = set(open_table(path).columns), settings.label_columns is None
    if usual and columns >= {_RECORDING, _NUMBERS[0]}:
        return _numbered(path, [name for name in _NUMBERS if name in columns])
    if usual and columns >= {_RECORD, *CLASSES}:
        return _one_column_each(path)
    return read_label_table(path, settings, negative=("",))


def _numbered(path: Path, columns: list[str]) -> LabelTable:
    numbers = {str(number): name for number, name in enumerate(CLASSES, start=1)}
    rows: dict[str, tuple[str, ...]] = {}
    for row in read_csv(path):
        cells = [row[name].strip() for name in columns if row[name].strip()]
        odd = [cell for cell in cells if cell not in numbers]
        if odd or row[_RECORDING] in rows:
            value = f"class {odd[0]!r}" if odd else "a second row"
            raise table_error(path, f"{value} of {row[_RECORDING]}")
        rows[row[_RECORDING]] = tuple(dict.fromkeys(numbers[cell] for cell in cells))
    return _label_table(path, rows)


def _one_column_each(path: Path) -> LabelTable:
    rows: dict[str, tuple[str, ...]] = {}
    for row in read_csv(path):
        odd = [name for name in CLASSES if row[name] not in ("0", "1")]
        if odd or row[_RECORD] in rows:
            value = f"{odd[0]} {row[odd[0]]!r}" if odd else "a second row"
            raise table_error(path, f"{value} of {row[_RECORD]}")
        rows[row[_RECORD]] = tuple(name for name in CLASSES if row[name] == "1")
    return _label_table(path, rows)


def _label_table(path: Path, classes: dict[str, tuple[str, ...]]) -> LabelTable:
    if not classes:
        raise table_error(path, "no rows")
    rows = {name: LabelRow(None, None, {LABEL_SET: found}) for name, found in classes.items()}
    return LabelTable(rows, (LABEL_SET,))
