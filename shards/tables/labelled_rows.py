"""A user's table in columns: patient, labels and split of each recording that it names."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lamae.errors import InputError
from shards.entries import ABOUT, LABELS_OF, Reject, RowWriter, as_texts, text_of
from shards.repeated import repeated, texts_of
from shards.tables.cells import is_missing, like_ids
from shards.tables.classes import LabelColumns, doubts, label_columns
from shards.tables.columns import (
    NO_PATIENTS,
    PATHS,
    Columns,
    ColumnSettings,
    find_columns,
    unused_patients,
)
from shards.tables.label_row import LabelRow, label_row
from shards.tables.read_table import Table, open_table, table_error

_NAMED = 5
_ROWS_AT_ONCE = 2**10


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


class LabelledRows(NamedTuple):
    """All rows of a table, as columns of a listing: a million take little memory."""

    table: pa.Table
    """Column `name` of recordings, and with it fields of `Entry`."""
    label_sets: tuple[str, ...]
    """As of `LabelTable`, as are those that follow."""
    rejects: tuple[Reject, ...] = ()
    found: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def read_labelled_rows(
    path: Path,
    settings: TableSettings,
    *,
    paths: Sequence[str] = PATHS,
    numbered: bool = False,
    negative: tuple[str, ...] = (),
) -> LabelledRows:
    """Read a table as `read_label_table` does, into columns."""
    if settings.hash_ids and settings.label_columns is None:
        raise _columns_not_named()
    table = open_table(path)
    columns = find_columns(table, settings, paths)
    cells = table.read()
    if not cells.num_rows:
        raise table_error(path, "no rows")
    columns = _settled(table, cells, columns, numbered=numbered)
    _refuse_repeated_identifier(table, cells, columns, settings)
    given = settings.label_columns is not None
    labels = label_columns(table, cells, columns.labels, given=given)
    if settings.about_columns is None:
        more = (*labels.numbers, *labels.free_texts)
        columns = columns._replace(about=(*columns.about, *more))
    rows, rejects = _rows(table, cells, columns, labels, (*settings.negative, *negative))
    return LabelledRows(
        rows,
        labels.label_sets,
        tuple(rejects),
        found=tuple(_sentences(table, cells.num_rows, columns, labels)),
        doubts=tuple(_patient_doubts(table, columns, rows) + doubts(cells, labels, rows)),
    )


def _rows(
    table: Table,
    cells: pa.Table,
    columns: Columns,
    labels: LabelColumns,
    negative: tuple[str, ...],
) -> tuple[pa.Table, list[Reject]]:
    """Return the rows as columns, and those that name no recording."""
    path, rejects = table.path, list[Reject]()
    rows = RowWriter("name", "patient_id", "fold", "split")
    twice = _names_twice(cells, columns)
    seen = set[str]()
    for place, row in enumerate(_rows_of(cells)):
        line = f"row {place + 2}"
        name = str(place) if columns.path is None else row[columns.path].strip()
        if is_missing(name):
            message = f"{line} of the table names no recording in {columns.path}"
            rejects.append(Reject(f"{path.name} {line}", "row_without_name", message))
            continue
        if name in seen:
            raise table_error(path, f"{line}: {name} in two rows")
        if name in twice:
            seen.add(name)
        try:
            found = label_row(row, columns, labels, negative)
        except ValueError as error:
            raise table_error(path, f"{line}: {error}") from None
        rows.add(_columns_of(name, found))
    return rows.table(), rejects


def _columns_of(name: str, row: LabelRow) -> dict[str, object]:
    return {
        "name": name,
        "patient_id": row.patient_id,
        "fold": row.fold,
        "split": row.split,
        **{
            f"{LABELS_OF}{label_set}": text_of(classes) for label_set, classes in row.labels.items()
        },
        **{f"{ABOUT}{fact}": cell for fact, cell in row.about.items()},
    }


def _rows_of(cells: pa.Table) -> Iterator[dict[str, str]]:
    for batch in cells.to_batches(_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _names_twice(cells: pa.Table, columns: Columns) -> set[str]:
    """Return the names of recordings that come more than once."""
    name = columns.path
    if name is None:
        return set()
    return repeated(lambda: map(str.strip, texts_of(cells[name])))


def _columns_not_named() -> InputError:
    return InputError(
        "label_columns",
        value="null with hash_ids=true, and a table of labels",
        expected="the columns that hold labels and nothing of a person",
        remedy="Name them, e.g. label_columns=[diagnosis].",
    )


def _settled(table: Table, cells: pa.Table, columns: Columns, *, numbered: bool) -> Columns:
    """Return the columns with one that names the recording: patients may, if each has one."""
    if columns.path is not None or numbered:
        return columns
    patient = columns.patient
    if patient and not repeated(lambda: texts_of(cells[patient])):
        return columns._replace(path=patient)
    raise table_error(
        table.path,
        f"no column of {', '.join(PATHS[:_NAMED])} or the like ({table.describe()}; it has "
        f"{', '.join(table.columns)})",
        remedy="Name the column of the recordings in path_column=.",
    )


def _refuse_repeated_identifier(
    table: Table, cells: pa.Table, columns: Columns, settings: TableSettings
) -> None:
    """Raise InputError for ids that return from row to row, where no column names the patient."""
    if columns.patient is not None or settings.patients is not None:
        return
    for name in columns.identifiers:
        times = repeated(lambda name=name: texts_of(cells[name]))  # type: ignore[misc]
        if any(not is_missing(cell) for cell in times):
            raise unused_patients(table, name)


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


def _patient_doubts(table: Table, columns: Columns, rows: pa.Table) -> list[str]:
    """Return what should be known of the patients; raises InputError for ids that are alike."""
    if columns.patient is None:
        return ["each file counts as its own patient: the table has no column of patients"]
    ids = pc.unique(as_texts(rows["patient_id"]))
    refuse_like_ids(table.path, pa.chunked_array([ids]))
    without = rows["patient_id"].null_count
    if without:
        return [f"{without} rows name no patient; each of their files counts as its own"]
    return []


def refuse_like_ids(table: Path, ids: pa.ChunkedArray) -> None:
    """Raise InputError for two ids that only case or zeros at the start tell apart."""
    if (alike := like_ids(lambda: texts_of(ids))) is not None:
        raise table_error(
            table,
            f"patients {alike[0]!r} and {alike[1]!r}, which may be one person",
            remedy="Write them alike if they are one, or add a prefix that tells them apart; "
            f"patients={NO_PATIENTS} takes each recording as its own.",
        )
