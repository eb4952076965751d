"""A user's table: patient, labels and split of each recording that it names, by row."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shards.entries import Reject, rows_of
from shards.tables.columns import PATHS
from shards.tables.label_row import LabelRow
from shards.tables.labelled_rows import TableSettings, read_labelled_rows

LABELS = "labels.csv"
"""The table of labels that a source may hold."""


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


def labels_file(settings: TableSettings) -> Path | None:
    """Return the table of labels that the settings name, or that lies in the source."""
    in_source = settings.source / LABELS
    return settings.table or (in_source if in_source.is_file() else None)


def label_table_of(settings: TableSettings) -> LabelTable:
    """Read the table of labels that the settings name, or that lies in the source."""
    path = labels_file(settings)
    return NO_TABLE if path is None else read_label_table(path, settings)


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
    read = read_labelled_rows(path, settings, paths=paths, numbered=numbered, negative=negative)
    rows = {row.pop("name"): LabelRow(**row) for row in rows_of(read.table)}
    return LabelTable(rows, *read[1:])
