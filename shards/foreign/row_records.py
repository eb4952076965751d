"""A row of a dataset becomes a record."""

import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lamae.ecg.record import Reading
from lamae.errors import InputError, RecordError
from lamae.readers.arrays.array_layout import array_reading, check_type, leads_first
from lamae.readers.read_options import ReadOptions
from shards.foreign.facts import SIGNALS, SignalFields, find_fields, layout_of, plain
from shards.foreign.rows import Dataset, Part, as_input_error, features_of
from shards.foreign.settings import DatasetSettings, FieldSettings

_OPEN = 4


@lru_cache(maxsize=_OPEN)
def signal_fields(source: Path, settings: DatasetSettings, fields: FieldSettings) -> SignalFields:
    """Return the columns that a signal needs; raises InputError where no column has signals."""
    columns = features_of(source, settings)
    found = find_fields(columns, fields, thing=f"dataset {source}", of_signals=True)
    if found.signal is None:
        raise InputError(
            f"dataset {source}",
            value=f"columns {', '.join(columns)}",
            expected=f"one of signals, named {SIGNALS[0]} or so",
            remedy="Name it in fields.signal.",
        )
    return found


class _Cursor:
    """A dataset that is read forwards: what blocks ask for comes in the order of its rows."""

    def __init__(self, dataset: Dataset, part: Part) -> None:
        self._dataset, self._part = dataset, part
        self._next = 0
        self._rows: Iterator[dict[str, Any]] = iter(())

    def row(self, number: int) -> dict[str, Any]:
        """Return a row; raises InputError where the dataset has fewer by now."""
        if number < self._next or not self._next:
            self._rows, self._next = self._dataset.rows(self._part, number), number
        found: dict[str, Any] | None = None
        while self._next <= number:
            found = next(self._rows, None)
            self._next += 1
        if found is None:
            raise InputError(
                f"dataset, part {self._part}",
                value=f"no row {number}",
                expected="the rows that were listed",
                remedy="It has changed: start the build again, with another output=.",
            )
        return found


@lru_cache(maxsize=_OPEN)
def _cursor(
    source: Path, settings: DatasetSettings, columns: tuple[str, ...], part: Part
) -> _Cursor | Dataset:
    dataset = _opened(source, settings, columns)
    return dataset if dataset.is_on_disk(part.split) else _Cursor(dataset, part)


@lru_cache(maxsize=_OPEN)
def _opened(source: Path, settings: DatasetSettings, columns: tuple[str, ...]) -> Dataset:
    return Dataset(source, settings, columns)


def read_row(
    source: Path,
    place: str,
    number: int,
    options: ReadOptions,
    named: FieldSettings,
    settings: DatasetSettings,
) -> Reading:
    """Read the recording in a row; raises RecordError for one that cannot be read."""
    part = Part.parse(place)
    name = f"{place}#{number}"
    if part.revision:
        settings = settings.model_copy(update={"revision": part.revision})
    fields = signal_fields(source, settings, named)
    columns = tuple(dict.fromkeys(field for field in fields if field is not None))
    found = _cursor(source, settings, columns, part)
    with as_input_error(source):
        row = found.row(part, number) if isinstance(found, Dataset) else found.row(number)
    facts = {key: plain(value) for key, value in row.items() if key != fields.signal}
    layout = layout_of(facts, fields, options.arrays, name=name)
    if options.unit is not None:
        layout = layout.model_copy(update={"unit": options.unit})
    values = _numbers(row[fields.signal or ""], name)
    check_type(values.dtype, name)
    if not leads_first(values.shape, layout, leads=len(layout.leads), name=name):
        values = values.T
    return array_reading(
        values, layout, leads=layout.leads, name=name, files=(), leads_as=options.leads_as
    )


def _numbers(value: Any, name: str) -> np.ndarray:
    """Return the array of a cell: of numbers, of lists of them, or the bytes of a .npy file."""
    try:
        if isinstance(value, bytes):
            return np.load(io.BytesIO(value), allow_pickle=False)
        array = np.asarray(value)
        if array.dtype == object:  # of lists that hold a null, or of lists of lists
            array = np.array([np.asarray(each, dtype=np.float64) for each in array])
        return array[None] if array.ndim == 1 else array
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise RecordError(
            f"recording {name}",
            reason="unreadable_signal",
            value=f"{type(error).__name__}: {str(error)[:200]}",
            expected="leads of the same number of samples, or the bytes of a .npy file",
            remedy="Name another column in fields.signal, or leave it out.",
        ) from None
