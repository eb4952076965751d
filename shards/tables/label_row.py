"""One row of a user's table of labels."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shards.tables.cells import identifier, is_missing, number, whole_number
from shards.tables.classes import LabelColumns, Labels, labels_of
from shards.tables.columns import Columns

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of splits in tables and datasets, in lower case, and those that they have here."""


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


def label_row(
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
    if not is_missing(name) and name not in SPLIT_NAMES:
        raise ValueError(f"split {cell!r} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES.get(name)
