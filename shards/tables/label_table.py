"""A user's table: patient, labels and split of each recording that it names."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from lamae.errors import InputError
from shards.entries import Reject
from shards.tables.cells import identifier, is_missing, number, whole_number
from shards.tables.classes import LabelColumns, Labels, doubts, label_columns, labels_of
from shards.tables.columns import (
    NO_PATIENTS,
    PATHS,
    Columns,
    ColumnSettings,
    find_columns,
    unused_patients,
)
from shards.tables.read_table import Table, open_table, table_error

LABELS = "labels.csv"
"""The table of labels that a source may hold."""

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
_NAMED = 5


class TableSettings(ColumnSettings, Protocol):
    """Settings of a user's table."""

    @property
    def source(self) -> Path:
        """Folder of the recordings."""

    @property
    def table(self) -> Path | None:
        """The table; None takes `LABELS` in the source, if it is there."""

    @property
    def negative(self) -> tuple[str, ...]:
        """Cells that mean examined, and none of the classes."""

    @property
    def hash_ids(self) -> bool:
        """True where nothing of a person may be kept."""


class LabelRow(NamedTuple):
    """Facts of one recording in a table."""

    patient_id: str | None
    """Patient, where the table names one."""
    fold: int | None
    """Cross-validation fold, where the table has such a column."""
    labels: Labels
    """Classes of each label set; an empty tuple has none of them, None is unlabelled."""
    split: str | None = None
    """Split, where the table has such a column and names one."""
    about: Mapping[str, str] = {}
    """Numbers and categories about the recording."""


class LabelTable(NamedTuple):
    """All rows of a table."""

    rows: dict[str, LabelRow]
    """By recording, in the order of the table."""
    label_sets: tuple[str, ...]
    """Names of the label sets."""
    rejects: tuple[Reject, ...] = ()
    """Rows that name no recording."""
    found: tuple[str, ...] = ()
    """Sentences for a person: how the table was read."""
    doubts: tuple[str, ...] = ()
    """Sentences for a person: what should be looked at."""

    def unlabelled(self) -> dict[str, None]:
        """Return the labels of a recording that the table does not name."""
        return dict.fromkeys(self.label_sets)


NO_TABLE = LabelTable({}, ())


def label_table_of(settings: TableSettings) -> LabelTable:
    """Read the table of labels that the settings name, or that lies in the source."""
    in_source = settings.source / LABELS
    if settings.table is None and not in_source.is_file():
        return NO_TABLE
    return read_label_table(settings.table or in_source, settings)


def read_label_table(
    path: Path,
    settings: TableSettings,
    *,
    paths: Sequence[str] = PATHS,
    numbered: bool = False,
    negative: tuple[str, ...] = (),
) -> LabelTable:
    """Read a table of labels, whose columns the settings name or else their usual names.

    Args:
        path: the file.
        settings: names of columns, and of what is negative.
        paths: usual names of the column that names the recording.
        numbered: whether rows without such a column are recordings 0, 1, 2 and so on.
        negative: cells that are negative in this source, beside those of the settings.

    Raises InputError for a table that is not one, or names a recording twice.
    """
    if settings.hash_ids and settings.label_columns is None:
        raise _columns_not_named()
    table = open_table(path)
    columns = find_columns(table, settings, paths)
    rows = list(table.rows())
    if not rows:
        raise table_error(path, "no rows")
    columns = _settled(table, rows, columns, numbered=numbered)
    _refuse_repeated_identifier(table, rows, columns, settings)
    given = settings.label_columns is not None
    labels = label_columns(table, rows, columns.labels, given=given)
    if settings.about_columns is None:
        more = (*labels.numbers, *labels.free_texts)
        columns = columns._replace(about=(*columns.about, *more))
    found: dict[str, LabelRow] = {}
    rejects = []
    for place, row in enumerate(rows):
        line = f"row {place + 2}"
        name = str(place) if columns.path is None else row[columns.path].strip()
        if is_missing(name):
            message = f"{line} of the table names no recording in {columns.path}"
            rejects.append(Reject(f"{path.name} {line}", "row_without_name", message))
            continue
        if name in found:
            raise table_error(path, f"{line}: {name} in two rows")
        try:
            found[name] = _label_row(row, columns, labels, (*settings.negative, *negative))
        except ValueError as error:
            raise table_error(path, f"{line}: {error}") from None
    return LabelTable(
        found,
        labels.label_sets,
        tuple(rejects),
        found=tuple(_sentences(table, len(rows), columns, labels)),
        doubts=tuple(
            _patient_doubts(table, columns, found.values())
            + doubts(rows, labels, (row.labels for row in found.values()))
        ),
    )


def _columns_not_named() -> InputError:
    return InputError(
        "label_columns",
        value="null with hash_ids=true, and a table of labels",
        expected="the columns that hold labels and nothing of a person",
        remedy="Name them, e.g. label_columns=[diagnosis].",
    )


def _settled(
    table: Table, rows: Sequence[Mapping[str, str]], columns: Columns, *, numbered: bool
) -> Columns:
    """Return the columns with one that names the recording: patients may, if each has one."""
    if columns.path is not None or numbered:
        return columns
    names = [row[columns.patient] for row in rows] if columns.patient else []
    if names and len(set(names)) == len(names):
        return columns._replace(path=columns.patient)
    raise table_error(
        table.path,
        f"no column of {', '.join(PATHS[:_NAMED])} or the like ({table.describe()}; it has "
        f"{', '.join(table.columns)})",
        remedy="Name the column of the recordings in path_column=.",
    )


def _refuse_repeated_identifier(
    table: Table, rows: Sequence[Mapping[str, str]], columns: Columns, settings: TableSettings
) -> None:
    """Raise InputError for ids that return from row to row, where no column names the patient."""
    if columns.patient is not None or settings.patients is not None:
        return
    for name in columns.identifiers:
        cells = [row[name] for row in rows if not is_missing(row[name])]
        if len(set(cells)) < len(cells):
            raise unused_patients(table, name)


def _label_row(
    row: Mapping[str, str], columns: Columns, labels: LabelColumns, negative: tuple[str, ...]
) -> LabelRow:
    """Return what a row says; raises ValueError for what cannot be read."""
    return LabelRow(
        patient_id=identifier(row[columns.patient]) if columns.patient else None,
        fold=_fold(row[columns.fold]) if columns.fold else None,
        labels=labels_of(row, labels, negative),
        split=_split(row[columns.split]) if columns.split else None,
        about=about_of(row, columns.about),
    )


def about_of(row: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
    """Return the cells of columns about a recording: whole numbers as such, missing ones left out.

    A number with leading zeros is a name and stays as it is.
    """
    found = {}
    for name in columns:
        cell = row[name].strip()
        value = number(cell)
        if value is not None and not (len(cell) > 1 and cell[0] == "0" and cell[1].isdecimal()):
            cell = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        if not is_missing(cell):
            found[name] = cell
    return found


def _fold(cell: str) -> int | None:
    if is_missing(cell):
        return None
    fold = whole_number(cell)
    if fold is None or fold < 0:
        raise ValueError(f"fold {cell!r} is no whole number")
    return fold


def _split(cell: str) -> str | None:
    name = cell.strip().casefold()
    if not is_missing(name) and name not in _SPLITS:
        raise ValueError(f"split {cell!r} is none of {', '.join(_SPLITS)}")
    return _SPLITS.get(name)


def _sentences(table: Table, rows: int, columns: Columns, labels: LabelColumns) -> Iterable[str]:
    yield f"table {table.path.name}: {rows} rows, {table.describe()}"
    yield f"recordings: {_column(columns.path) or 'rows in the order of the file'}"
    yield f"patients: {_column(columns.patient) or 'none; each file counts as its own patient'}"
    for name, column in (("folds", columns.fold), ("splits", columns.split)):
        if column:
            yield f"{name}: {_column(column)}"
    if labels.binary:
        yield f"labels, columns of 0 and 1: {', '.join(labels.binary)}"
    if labels.texts:
        yield f"labels, columns of classes: {', '.join(labels.texts)}"
    if columns.about:
        yield f"about the recording, no labels: {', '.join(columns.about)}"
    unused = (*columns.identifiers, *columns.unused)
    if unused:
        yield f"not used: {', '.join(unused)}"


def _column(name: str | None) -> str | None:
    return name and f"column {name}"


def _patient_doubts(table: Table, columns: Columns, rows: Iterable[LabelRow]) -> list[str]:
    """Return what should be known of the patients; raises InputError for ids that are alike."""
    if columns.patient is None:
        return ["each file counts as its own patient: the table has no column of patients"]
    ids = Counter(row.patient_id for row in rows)
    without = ids.pop(None, 0)
    refuse_like_ids(table.path, (name for name in ids if name is not None))
    if without:
        return [f"{without} rows name no patient; each of their files counts as its own"]
    return []


def refuse_like_ids(table: Path, ids: Iterable[str]) -> None:
    """Raise InputError for two ids that only case or zeros at the start tell apart."""
    first: dict[str, str] = {}
    for name in ids:
        other = first.setdefault(name.casefold().lstrip("0"), name)
        if other != name:
            raise table_error(
                table,
                f"patients {other!r} and {name!r}, which may be one person",
                remedy="Write them alike if they are one, or add a prefix that tells them apart; "
                f"patients={NO_PATIENTS} takes each recording as its own.",
            )
