"""Cells of label columns become the classes of label sets, each cell with one meaning.

An empty cell, or a mark such as NaN, is unlabelled in a column of text and in one of 0 and 1 alike.
A name that the setting `negative` gives is examined, and shows none of the classes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from shards.entries import LABELS_OF, as_texts, classes_of
from shards.repeated import texts_of
from shards.tables.cells import identifier, is_missing, is_uncertain, number, truth
from shards.tables.read_table import Table, table_error

CLASS_COLUMNS = "label"
"""The label set whose classes are the columns that hold nothing but 0 and 1."""

_BRACKETS = re.compile(r"\s*(\[.*\]|\{.*\}|\(.*,.*\))\s*", re.DOTALL)
_MAX_NUMBERS = 20
_MAX_DISTINCT_SHARE, _MIN_TEXTS = 0.5, 20

Labels = Mapping[str, tuple[str, ...] | None]
"""Classes of each label set; an empty tuple has none of them, None is unlabelled."""


class LabelColumns(NamedTuple):
    """Columns that become label sets."""

    binary: tuple[str, ...]
    """Classes of the label set `CLASS_COLUMNS`."""
    texts: tuple[str, ...]
    """Label sets of their own."""
    numbers: tuple[str, ...] = ()
    """No labels: numbers of many values."""
    free_texts: tuple[str, ...] = ()
    """No labels: a text of its own in most rows."""

    @property
    def label_sets(self) -> tuple[str, ...]:
        """Names of the label sets."""
        return (CLASS_COLUMNS, *self.texts) if self.binary else self.texts


def label_columns(
    table: Table, cells: pa.Table, names: Sequence[str], *, given: bool
) -> LabelColumns:
    """Tell columns of 0 and 1 from those of text; what nobody has `given` may be no label at all.

    Raises InputError where a column has the name of the label set that others make.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[_kind(cells[name], given=given)].append(name)
    found = LabelColumns(*(tuple(kinds[k]) for k in ("binary", "text", "numbers", "free")))
    if found.binary and CLASS_COLUMNS in found.texts:
        value = f"columns of 0 and 1, {', '.join(found.binary)}, beside a column {CLASS_COLUMNS}"
        remedy = "Name those to take in label_columns."
        raise table_error(table.path, value, remedy=remedy)
    return found


def _kind(column: pa.ChunkedArray, *, given: bool) -> str:
    truths = any(truth(cell) is not None for cell in _filled(column))
    if truths and all(truth(cell) is not None or is_uncertain(cell) for cell in _filled(column)):
        return "binary"
    distinct = sum(1 for _ in _filled(column))
    if given or not distinct:
        return "text"
    values = (number(cell) for cell in _filled(column))
    if all(value is not None for value in values):
        fractions = any(not (number(cell) or 0.0).is_integer() for cell in _filled(column))
        return "numbers" if fractions or distinct > _MAX_NUMBERS else "text"
    filled = len(column) - sum(times for cell, times in counts(column) if is_missing(cell))
    many = filled >= _MIN_TEXTS and distinct > _MAX_DISTINCT_SHARE * filled
    return "free" if many else "text"


def _filled(column: pa.ChunkedArray) -> Iterator[str]:
    """Yield the different cells of a column that hold something."""
    distinct = pa.chunked_array([pc.unique(column).dictionary_decode()])
    return (cell for cell in texts_of(distinct) if not is_missing(cell))


def counts(column: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """Yield the different cells of a column, each with the times that it comes."""
    found = pc.value_counts(column)
    for pair in found:
        yield pair["values"].as_py(), pair["counts"].as_py()


def labels_of(row: Mapping[str, str], columns: LabelColumns, negative: Iterable[str]) -> Labels:
    """Return the labels of a row; raises ValueError for a list as Python writes it."""
    labels: dict[str, tuple[str, ...] | None] = {}
    if columns.binary:
        labels[CLASS_COLUMNS] = _true_columns(row, columns.binary)
    without = {name.strip().casefold() for name in negative}
    for name in columns.texts:
        labels[name] = _split_classes(row[name], without)
    return labels


def _true_columns(row: Mapping[str, str], columns: Sequence[str]) -> tuple[str, ...] | None:
    truths = {name: truth(row[name]) for name in columns}
    if None in truths.values():
        return None
    return tuple(name for name, value in truths.items() if value)


def _split_classes(cell: str, negative: set[str]) -> tuple[str, ...] | None:
    """Return the classes in a cell, which semicolons separate."""
    if _BRACKETS.fullmatch(cell):
        raise ValueError(
            f"{cell.strip()[:60]!r} is a list as Python writes it; separate classes by semicolons, "
            'e.g. by table[column].map(";".join) before it is saved'
        )
    parts = [part.strip() for part in cell.split(";")]
    if all(part.casefold() in negative for part in parts):
        return ()
    names = (part for part in parts if part.casefold() not in negative and not is_missing(part))
    found = dict.fromkeys(identifier(name) or name for name in names)
    return tuple(found) or None


def doubts(cells: pa.Table, columns: LabelColumns, rows: pa.Table) -> list[str]:
    """Return a sentence for each thing about the labels that a person should look at.

    Args:
        cells: the table as it is.
        columns: those of labels.
        rows: what became of them, columns of a listing.
    """
    found = []
    for name in columns.binary:
        uncertain = sum(times for cell, times in counts(cells[name]) if is_uncertain(cell))
        if uncertain:
            found.append(f"{name}: {uncertain} rows of -1 are unlabelled, as empty cells are")
    for name in columns.texts:
        marks = Counter[str]()
        for cell, times in counts(cells[name]):
            if cell.strip() and is_missing(cell):
                marks[cell.strip()] += times
        if marks:
            by_times = marks.most_common()
            listed = ", ".join(f"{mark} ({times})" for mark, times in by_times)
            found.append(
                f"{name}: cells of {listed} are unlabelled, as empty ones are; negative="
                f"[{by_times[0][0]}] is for one that means examined, and none of the classes"
            )
    return found + _spelling_doubts(rows)


def _spelling_doubts(rows: pa.Table) -> list[str]:
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for column in rows.column_names:
        if column.startswith(LABELS_OF):
            for text in texts_of(pa.chunked_array([pc.unique(as_texts(rows[column]))])):
                for name in classes_of(text) or ():
                    spellings[column.removeprefix(LABELS_OF), name.casefold()].add(name)
    found = []
    for (label_set, plain), names in sorted(spellings.items()):
        if len(names) > 1:
            listed = ", ".join(sorted(names))
            found.append(f"{label_set}: {listed} are different classes by their spelling alone")
        if plain == "none":
            found.append(
                f"{label_set}: a class named none cannot be learned; rename it, or give "
                "negative=[none] if it means that none of the classes was found"
            )
    return found
