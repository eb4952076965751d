"""Tables of labels: one row per recording, lists of classes or a column of 0 and 1 per class."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lamae.errors import InputError
from shards.settings import ShardsSettings

LABELS = "labels.csv"
"""The table of labels that a source may hold."""
RECORD_COLUMNS = ("filename", "record", "study_id", "path")
"""The first of these that a table has names the recording."""
PATIENT_COLUMNS = ("patient_id", "subject_id", "patient")
"""The first of these that a table has names the patient."""
FOLD_COLUMNS = ("strat_fold", "fold")
"""The first of these that a table has is the cross-validation fold."""
SPLIT_COLUMN = "split"
"""The column that names the split of a recording."""
OTHER_IDENTIFIERS = ("ecg_id", "file_name", "ecg_time")
"""Columns that are no labels either."""
CLASS_COLUMNS = "label"
"""The label set whose classes are the columns that hold nothing but 0 and 1."""

_TRUE, _FALSE = {"1", "1.0", "true"}, {"0", "0.0", "false"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


class LabelRow(NamedTuple):
    """What a table says of one recording."""

    patient_id: str | None
    """Patient, where the table has such a column."""
    fold: int | None
    """Cross-validation fold, where the table has such a column."""
    labels: Mapping[str, tuple[str, ...] | None]
    """Classes of each label set; an empty cell is an empty tuple, None is unlabelled."""
    split: str | None = None
    """Split, where the table has such a column and names one."""


class LabelTable(NamedTuple):
    """All rows of a table."""

    rows: dict[str, LabelRow]
    """By recording, in the order of the table."""
    label_sets: tuple[str, ...]
    """Names of the label sets."""

    def unlabelled(self) -> dict[str, None]:
        """Return the labels of a recording that the table does not name."""
        return dict.fromkeys(self.label_sets)


NO_TABLE = LabelTable({}, ())


def read_csv(path: Path, columns: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file with a header that has at least these columns.

    Raises InputError for a missing or unreadable file, a missing column or a short row.
    """
    return (row for _, row in _numbered_rows(path, columns))


def _numbered_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of its last line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise table_error(path, f"no column {', '.join(missing)}")
            for row in reader:
                if None in row or None in row.values():
                    raise table_error(path, f"line {reader.line_num} is shorter or longer")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise table_error(path, str(error)) from None


def table_error(path: Path, value: str) -> InputError:
    """Return the error for a table that cannot be used because of `value`."""
    return InputError(
        f"table {path}",
        value=value,
        expected="a CSV table as docs/reference/data-format.md describes it",
        remedy="Correct it, or name another.",
    )


def read_label_table(
    path: Path,
    label_columns: Sequence[str] | None = None,
    *,
    record_columns: Sequence[str] = RECORD_COLUMNS,
    numbered: bool = False,
) -> LabelTable:
    """Read a table of labels; `label_columns` names its label sets, None takes all others.

    `record_columns` name the recording, the first that is filled; without one of them, if
    `numbered`, the rows are recordings 0, 1, 2 and so on. Raises InputError for a table that is
    not one, or names a recording twice.
    """
    rows: dict[str, LabelRow] = {}
    label_sets: tuple[str, ...] | None = None
    classes: set[str] = set()
    for number, (line, row) in enumerate(_numbered_rows(path, label_columns or ())):
        record = _first(row, record_columns)
        if record is None and numbered and not set(record_columns) & set(row):
            record = str(number)
        if record is None:
            raise table_error(path, f"line {line}: no column of {', '.join(record_columns)}")
        if label_sets is None:
            label_sets = tuple(label_columns or _label_columns(row, record_columns))
            classes = set(label_sets)
        if record in rows:
            raise table_error(path, f"line {line}: {record} in two rows")
        classes = {name for name in classes if _is_binary(row[name])}
        rows[record] = LabelRow(
            patient_id=_first(row, PATIENT_COLUMNS),
            fold=_fold(path, record, _first(row, FOLD_COLUMNS)),
            labels={name: split_classes(row[name]) for name in label_sets},
            split=_split(path, line, row.get(SPLIT_COLUMN, "")),
        )
    if not rows or label_sets is None:
        raise table_error(path, "no rows")
    return _with_class_columns(path, LabelTable(rows, label_sets), classes)


def _with_class_columns(path: Path, table: LabelTable, binary: set[str]) -> LabelTable:
    """Make one label set of the columns that hold nothing but 0 and 1, named by their columns.

    A row with an empty cell among these is unlabelled; a column of empty cells is none of these.
    """
    filled = {name for row in table.rows.values() for name in binary if row.labels[name]}
    columns = [name for name in table.label_sets if name in filled]
    if not columns:
        return table
    others = [name for name in table.label_sets if name not in filled]
    if CLASS_COLUMNS in others:
        value = f"columns of 0 and 1, {', '.join(columns)}, beside a column {CLASS_COLUMNS}"
        raise table_error(path, f"{value}; name those to take in label_columns")
    rows = {
        record: row._replace(
            labels={
                CLASS_COLUMNS: _classes_of(row.labels, columns),
                **{name: row.labels[name] for name in others},
            }
        )
        for record, row in table.rows.items()
    }
    return LabelTable(rows, (CLASS_COLUMNS, *others))


def _classes_of(
    cells: Mapping[str, tuple[str, ...] | None], columns: Iterable[str]
) -> tuple[str, ...] | None:
    known = [(name, cells[name]) for name in columns]
    if not all(cell for _, cell in known):
        return None
    return tuple(name for name, cell in known if cell and truth(cell[0]))


def label_table_of(settings: ShardsSettings) -> LabelTable:
    """Read the table of labels that the settings name, or that lies in the source."""
    in_source = settings.source / LABELS
    if settings.table is None and not in_source.is_file():
        return NO_TABLE
    return read_label_table(settings.table or in_source, label_columns_of(settings))


def label_columns_of(settings: ShardsSettings) -> tuple[str, ...] | None:
    """Return the columns of a user's table that are label sets; None is all that name nobody.

    Raises InputError where ids are hashed and the columns are not named: any may hold a name.
    """
    if settings.hash_ids and settings.label_columns is None:
        raise InputError(
            "label_columns",
            value="null with hash_ids=true, and a table of labels",
            expected="the columns that hold labels and nothing of a person",
            remedy="Name them, e.g. label_columns=[diagnosis].",
        )
    return settings.label_columns


def split_classes(cell: str) -> tuple[str, ...]:
    """Return the classes in a cell, which semicolons separate."""
    return tuple(name.strip() for name in cell.split(";") if name.strip())


def _first(row: Mapping[str, str], columns: Sequence[str]) -> str | None:
    return next((row[name] for name in columns if row.get(name)), None)


def _label_columns(row: Mapping[str, str], record_columns: Sequence[str]) -> list[str]:
    identifiers = {*RECORD_COLUMNS, *record_columns, *PATIENT_COLUMNS, *OTHER_IDENTIFIERS}
    return [name for name in row if name not in {*identifiers, *FOLD_COLUMNS, SPLIT_COLUMN}]


def _is_binary(cell: str) -> bool:
    return not cell.strip() or truth(cell) is not None


def truth(cell: str) -> bool | None:
    """Return what a cell of 0 and 1, or of False and True, says; None for any other."""
    value = cell.strip().lower()
    return True if value in _TRUE else False if value in _FALSE else None


def _fold(path: Path, record: str, cell: str | None) -> int | None:
    if cell is None:
        return None
    if not cell.isdecimal():
        raise table_error(path, f"fold {cell!r} of {record} is no whole number")
    return int(cell)


def _split(path: Path, line: int, cell: str) -> str | None:
    name = cell.strip().lower()
    if name and name not in _SPLITS:
        raise table_error(path, f"line {line}: split {cell!r} is none of {', '.join(_SPLITS)}")
    return _SPLITS.get(name)
