"""Recordings in files of their own: NumPy's .npy, and .csv with a column for each lead.

The .npy format is that of numpy.lib.format (NEP 1); what a header claims is held against the
size of the file before anything is allocated.
"""

import csv
import io
import tokenize
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np

from lamae.ecg.leads import RepeatedLeadError
from lamae.ecg.record import Reading
from lamae.ecg.units import units_per_mv
from lamae.errors import RecordError
from lamae.readers.arrays.array_layout import REASONS as LAYOUT_REASONS
from lamae.readers.arrays.array_layout import (
    ArrayLayout,
    array_reading,
    check_type,
    leads_first,
    refuse,
)
from lamae.readers.arrays.csv_layout import CsvLayout, find_layout, has_samples, number_in
from lamae.readers.regular_files import decoded, file_size, first_bytes, read_bounded

Reason = Literal["missing_file", "unreadable_file", "file_too_large"]
REASONS: tuple[str, ...] = (*get_args(Reason), *LAYOUT_REASONS)
"""Every reason that a RecordError of this module can have."""

MAX_CSV_BYTES = 2**26
"""Largest .csv file that is read: half an hour of twelve leads at 500 Hz."""

_FIRST_BYTES = 2**20
"""Bytes in which the names of the leads are looked for."""
_SAME_STEP = 0.5
"""Share of a step by which two of a column of times may differ."""

# What numpy lets through when a header is not what it expects: it parses Python literals.
_NPY_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


def read_npy(
    path: Path, layout: ArrayLayout, *, name: str, leads_as: Mapping[str, str] | None = None
) -> Reading:
    """Read a .npy file of one recording, (leads, samples) or (samples, leads).

    Raises RecordError with one of `REASONS`.
    """
    _check_size(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a header that is odd, but says what it means
            values = np.lib.format.open_memmap(path, mode="r")  # refuses Python objects
    except _NPY_ERRORS as error:
        _refuse(name, "unreadable_file", f"{type(error).__name__}: {error}", "a .npy file, whole")
    check_type(values.dtype, name)
    if not leads_first(values.shape, layout, leads=len(layout.leads), name=name):
        values = values.T
    return array_reading(
        values, layout, leads=layout.leads, name=name, files=(path,), leads_as=leads_as
    )


def read_csv_signals(
    path: Path,
    layout: ArrayLayout,
    *,
    name: str,
    leads_as: Mapping[str, str] | None = None,
    unit: str | None = None,
) -> Reading:
    """Read a .csv file whose header names the leads, with a row for each sample.

    An empty cell is a missing sample. Commas, semicolons or tabs separate cells; a decimal comma,
    quotes, lines above the header and one of units below it are understood, in UTF-8, UTF-16 and
    Latin-1. Units that the file gives go before that of `layout`, and `unit` before both; a
    sampling rate of `layout` goes before that of the file. Raises RecordError with one of
    `REASONS`, which names the line.
    """
    if _check_size(path, name) > MAX_CSV_BYTES:
        _refuse(name, "file_too_large", "a larger file", f"at most {MAX_CSV_BYTES} bytes")
    try:
        text = decoded(read_bounded(path, max_bytes=MAX_CSV_BYTES))
        found = find_layout(_first_lines(text), leads_as)
    except OSError as error:
        _refuse(name, "unreadable_file", str(error), "a header of lead names, then numbers")
    except RepeatedLeadError as error:
        refuse(name, "duplicate_lead", value=error.value, expected="each lead once")
    if found is None:
        expected = "a line with the names of leads above the samples; leads_as names others"
        refuse(name, "no_standard_lead", value="no name of a lead", expected=expected)
    columns = list(found.found.rows.values())
    try:
        signal, times = _parse(text, found, columns)
    except (ValueError, csv.Error) as error:
        expected = "a number in each cell, with a point or a comma, or an empty cell"
        _refuse(name, "unreadable_file", str(error), expected)
    if len(signal) == 0:
        refuse(name, "no_samples", value="no samples", expected="a row for each")
    layout = _with_rate(layout, found, times)
    scaled, layout = _in_one_unit(signal.T, found, columns, layout, unit)
    leads = tuple(found.found.rows)
    reading = array_reading(scaled, layout, leads=leads, name=name, files=(path,))
    notes = found.found.notes + reading.notes
    return reading._replace(dropped=found.others(), notes=notes)


def names_leads(path: Path, *, leads_as: Mapping[str, str] | None = None) -> bool:
    """Tell a recording by a lead in the first lines of a .csv; False if it cannot be read.

    A text of another ending may name leads in prose, so that numbers must follow.
    """
    lines = _first_lines(decoded(first_bytes(path, _FIRST_BYTES)))
    try:
        found = find_layout(lines, leads_as) is not None
    except RepeatedLeadError:
        found = True  # a lead in two columns: the reader refuses the file, with a reason
    return found and (path.suffix.casefold() == ".csv" or has_samples(lines))


def _first_lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text[:_FIRST_BYTES].split("\n")]


def _check_size(path: Path, name: str) -> int:
    """Return the bytes of a file; pipes and devices, whose reading might never end, are refused."""
    size = file_size(path)
    if size is None:
        _refuse(name, "missing_file", f"no {path.name}", "a file")
    return size


def _refuse(name: str, reason: Reason, value: str, expected: str) -> NoReturn:
    raise RecordError(
        f"recording {name}",
        reason=reason,
        value=value,
        expected=expected,
        remedy="Write it again, or leave it out.",
    )


def _parse(
    text: str, layout: CsvLayout, columns: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return numbers (samples, columns), and times in seconds where a column has them.

    Raises ValueError that names the line of a cell that is no number, but not the cell.
    """
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter)
    values, times = array("d"), array("d")
    clock, per_time = layout.time_column, layout.seconds_per_time()
    for row in _below(rows, layout.first_row):
        try:
            cells = [row[column] for column in columns]
        except IndexError:
            found, expected = len(row), len(layout.names)
            raise ValueError(f"line {rows.line_num}: fewer cells, {found} of {expected}") from None
        try:
            values.extend([float(cell) for cell in cells])
        except ValueError:
            values.extend(_numbers(cells, rows.line_num, columns, layout))
        if clock is not None:
            times.append(_seconds(row[clock] if clock < len(row) else "", per_time))
    signal = np.frombuffer(values).reshape(-1, max(1, len(columns)))
    return signal, np.frombuffer(times) if clock is not None else None


def _below(rows: Iterator[list[str]], first: int) -> Iterator[list[str]]:
    """Yield the rows of samples: those that are not empty, below so many lines."""
    for row in rows:
        if rows.line_num > first and row and any(cell.strip() for cell in row):  # type: ignore[attr-defined]
            yield row


def _numbers(
    cells: Sequence[str], line: int, columns: Sequence[int], layout: CsvLayout
) -> list[float]:
    numbers = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            numbers.append(number_in(cell))
        except ValueError:
            raise ValueError(f"line {line}: no number in column {layout.names[column]}") from None
    return numbers


def _seconds(cell: str, per_time: float | None) -> float:
    """Return a time in seconds: a number in the unit of its column, or a clock."""
    try:
        if per_time is not None:
            return number_in(cell) * per_time
        parts = [float(part) for part in cell.strip("'\" []").split(":")]
    except ValueError:
        return float("nan")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def _with_rate(layout: ArrayLayout, found: CsvLayout, times: np.ndarray | None) -> ArrayLayout:
    """Return the layout with the rate that the file gives, or that its regular times have."""
    if layout.sampling_rate is not None:
        return layout
    rate = found.sampling_rate
    if rate is None and times is not None and len(times) > 1:
        steps = np.diff(times)
        step = (times[-1] - times[0]) / len(steps)
        if step > 0 and np.abs(steps - step).max() <= _SAME_STEP * step:
            rate = 1 / step
    if rate is None:
        return layout
    return layout.model_copy(update={"sampling_rate": round(rate)})


def _in_one_unit(
    signal: np.ndarray,
    found: CsvLayout,
    columns: Sequence[int],
    layout: ArrayLayout,
    unit: str | None,
) -> tuple[np.ndarray, ArrayLayout]:
    """Return the signal (leads, samples), and the layout with its unit."""
    named = [unit or found.units[column] for column in columns]
    if not any(named):
        return signal, layout
    per_mv = np.array([units_per_mv(one or layout.unit) or 1.0 for one in named])
    layout = layout.model_copy(update={"unit": "mV"})
    return signal / per_mv[:, None], layout
