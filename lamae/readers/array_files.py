"""Recordings in files of their own: NumPy's .npy, and .csv with a column for each lead.

The .npy format is that of numpy.lib.format (NEP 1); what a header claims is held against the
size of the file before anything is allocated.
"""

import csv
import tokenize
import warnings
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np

from lamae.ecg.leads import canonical_lead
from lamae.ecg.record import Reading
from lamae.errors import InputError, RecordError
from lamae.readers.array_layout import REASONS as LAYOUT_REASONS
from lamae.readers.array_layout import (
    ArrayLayout,
    array_reading,
    check_type,
    leads_first,
    refuse,
)

Reason = Literal["missing_file", "unreadable_file", "file_too_large"]
REASONS: tuple[str, ...] = (*get_args(Reason), *LAYOUT_REASONS)
"""Every reason that a RecordError of this module can have."""

MAX_CSV_BYTES = 2**26
"""Largest .csv file that is read: half an hour of twelve leads at 500 Hz."""

_TIMES = {"", "t", "time", "time_s", "time_ms", "seconds", "sample", "index", "timestamp"}
_DELIMITERS = ",;\t"
_LONGEST_HEADER = 2**16

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


def read_npy(path: Path, layout: ArrayLayout, *, name: str) -> Reading:
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
    return array_reading(values, layout, leads=layout.leads, name=name, files=(path,))


def read_csv_signals(path: Path, layout: ArrayLayout, *, name: str) -> Reading:
    """Read a .csv file whose header names the leads, with a row for each sample.

    An empty cell is a missing sample. Commas, semicolons or tabs separate cells; a column of times
    is ignored. Raises RecordError with one of `REASONS`, which names the line.
    """
    if _check_size(path, name) > MAX_CSV_BYTES:
        _refuse(name, "file_too_large", "a larger file", f"at most {MAX_CSV_BYTES} bytes")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline(_LONGEST_HEADER)
            columns = _columns(header)
            rows = csv.reader(file, delimiter=_delimiter(header))
            signal = _parse(rows, columns)
    except (OSError, ValueError, csv.Error) as error:
        _refuse(name, "unreadable_file", str(error), "a header of lead names, then numbers")
    if not columns:
        value = f"the header {header[:80].strip()!r}"
        refuse(name, "no_standard_lead", value=value, expected="names of leads")
    named = tuple(_cells(header)[column] for column in columns)
    if len(signal) == 0:
        refuse(name, "no_samples", value="no samples", expected="a row for each")
    reading = array_reading(signal.T, layout, leads=named, name=name, files=(path,))
    others = [cell for i, cell in enumerate(_cells(header)) if i not in columns]
    return reading._replace(dropped=tuple(c for c in others if c.lower() not in _TIMES))


def names_leads(path: Path) -> bool:
    """Whether the first line of a .csv file names a standard lead; False if it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return bool(_columns(file.readline(_LONGEST_HEADER)))
    except (OSError, ValueError):
        return False


def _check_size(path: Path, name: str) -> int:
    """Return the bytes of a file; pipes and devices, whose reading might never end, are refused."""
    if not path.is_file():
        _refuse(name, "missing_file", f"no {path.name}", "a file")
    return path.stat().st_size


def _refuse(name: str, reason: Reason, value: str, expected: str) -> NoReturn:
    raise RecordError(
        f"recording {name}",
        reason=reason,
        value=value,
        expected=expected,
        remedy="Write it again, or leave it out.",
    )


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _cells(header: str) -> list[str]:
    cells = next(csv.reader([header], delimiter=_delimiter(header)), [])
    return [cell.strip() for cell in cells]


def _columns(header: str) -> list[int]:
    """Return the places of the columns that are standard leads."""
    columns = []
    for column, cell in enumerate(_cells(header)):
        try:
            canonical_lead(cell)
        except InputError:
            continue
        columns.append(column)
    return columns


def _parse(rows: Iterator[list[str]], columns: Sequence[int]) -> np.ndarray:
    """Return numbers (samples, columns); raises ValueError that names the line of what is none."""
    values = array("d")
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            values.extend([float(row[column] or "nan") for column in columns])
        except (ValueError, IndexError):
            cells = [row[column] for column in columns if column < len(row)]
            wrong = next((cell for cell in cells if not _is_number(cell)), "fewer cells than above")
            raise ValueError(f"line {line}: {wrong[:40]!r}") from None
    return np.frombuffer(values).reshape(-1, max(1, len(columns)))


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
