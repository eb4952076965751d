"""Tables of labels: one row per recording, lists of classes separated by semicolons."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lamae.errors import InputError
from shards.settings import ShardsSettings

LABELS = "labels.csv"
"""The table of labels that a source may hold."""
RECORD_COLUMNS = ("filename", "record", "study_id")
"""The first of these that a table has names the recording."""
PATIENT_COLUMNS = ("patient_id", "subject_id")
"""The first of these that a table has names the patient."""
FOLD_COLUMNS = ("strat_fold", "fold")
"""The first of these that a table has is the cross-validation fold."""
OTHER_IDENTIFIERS = ("ecg_id", "file_name", "ecg_time", "path")
"""Columns that are no labels either."""


class LabelRow(NamedTuple):
    """What a table says of one recording."""

    patient_id: str | None
    """Patient, where the table has such a column."""
    fold: int | None
    """Cross-validation fold, where the table has such a column."""
    labels: Mapping[str, tuple[str, ...]]
    """Classes of each label set; an empty cell is an empty tuple."""


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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise table_error(path, f"no column {', '.join(missing)}")
            for row in reader:
                if None in row or None in row.values():
                    raise table_error(path, f"line {reader.line_num} is shorter or longer")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise table_error(path, str(error)) from None


def table_error(path: Path, value: str) -> InputError:
    """Return the error for a table that cannot be used because of `value`."""
    return InputError(
        f"table {path}",
        value=value,
        expected="a CSV table as docs/data-format.md describes it",
        remedy="Correct it, or name another.",
    )


def read_label_table(path: Path, label_columns: Sequence[str] | None = None) -> LabelTable:
    """Read a table of labels; `label_columns` names its label sets, None takes all others.

    Raises InputError for a table that is not one, or names a recording twice.
    """
    rows: dict[str, LabelRow] = {}
    label_sets: tuple[str, ...] | None = None
    for row in read_csv(path, label_columns or ()):
        record = _first(row, RECORD_COLUMNS)
        if record is None:
            raise table_error(path, f"no column of {', '.join(RECORD_COLUMNS)}")
        if label_sets is None:
            label_sets = tuple(label_columns or _label_columns(row))
        if record in rows:
            raise table_error(path, f"{record} in two rows")
        rows[record] = LabelRow(
            patient_id=_first(row, PATIENT_COLUMNS),
            fold=_fold(path, record, _first(row, FOLD_COLUMNS)),
            labels={name: split_classes(row[name]) for name in label_sets},
        )
    if not rows:
        raise table_error(path, "no rows")
    return LabelTable(rows, label_sets or ())


def label_table_of(settings: ShardsSettings) -> LabelTable:
    """Read the table of labels that the settings name, or that lies in the source."""
    in_source = settings.source / LABELS
    if settings.table is None and not in_source.is_file():
        return NO_TABLE
    return read_label_table(settings.table or in_source, settings.label_columns)


def split_classes(cell: str) -> tuple[str, ...]:
    """Return the classes in a cell, which semicolons separate."""
    return tuple(name.strip() for name in cell.split(";") if name.strip())


def _first(row: Mapping[str, str], columns: Sequence[str]) -> str | None:
    return next((row[name] for name in columns if row.get(name)), None)


def _label_columns(row: Mapping[str, str]) -> list[str]:
    known = {*RECORD_COLUMNS, *PATIENT_COLUMNS, *FOLD_COLUMNS, *OTHER_IDENTIFIERS}
    return [name for name in row if name not in known]


def _fold(path: Path, record: str, cell: str | None) -> int | None:
    if cell is None:
        return None
    if not cell.isdecimal():
        raise table_error(path, f"fold {cell!r} of {record} is no whole number")
    return int(cell)
