"""The lines above the samples of a .csv file: lead names, units, sampling rate.

A line of lead names stands above the samples, after any lines of other facts and before a line of
units, as PhysioNet, spreadsheets and recorders write them; or one of these facts is the lead of all
numbers below it, as in the export of a watch. The facts may name a person, so that no error repeats
them.
"""

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lamae.ecg.leads import FoundLeads, find_leads, known_lead
from lamae.ecg.units import units_per_mv

DELIMITERS = ",;\t"
LONGEST_LINE = 2**19
"""Characters of a line above the samples that are looked at: 32,000 names of columns."""

_MOST_LINES = 100
_TIMES = re.compile(
    r"(?:elapsed[ _]?)?(?:t|time|times|timestamp|seconds|zeit|temps|tiempo|tempo|czas|date)"
    r"(?:[ _]?[(\[]?(?P<unit>s|sec|seconds|ms|us|μs|hh:mm:ss(?:\.mmm)?)?[)\]]?)"
)
_NUMBERS_OF_ROWS = {"", "sample", "index", "n"}
_PER_SECOND = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e3, "us": 1e6, "μs": 1e6}
_RATE = re.compile(r"(\d{1,6}(?:[.,]\d{1,6})?)\s*(?:hz|hertz|samples? ?/ ?s(?:ec(?:ond)?)?|sps)")
_RATE_KEYS = re.compile(
    r"(?:sampl|abtast|muestreo|echantillon|amostragem|campion|frequen[cz])|^(?:fs|sps|rate)$"
)
_PLAIN_NUMBER = re.compile(r"\d{1,6}(?:[.,]\d{1,6})?")
_UNIT_BEHIND = re.compile(r"[(\[/]\s*(\S{1,10}?)\s*[)\]]?$")
_MISSING = {"", "na", "nan", "n/a", "null", "none", "-", "--"}
_QUOTES = " \t'\"\ufeff"


class CsvLayout(NamedTuple):
    """The layout of a file of samples."""

    delimiter: str
    """Character between the cells of a row."""
    names: tuple[str, ...]
    """Names of the columns."""
    found: FoundLeads
    """The leads among them."""
    units: tuple[str | None, ...]
    """Unit of each column, where the file gives it."""
    sampling_rate: float | None
    """Samples per second, where a line above says so."""
    first_row: int
    """Number of lines above the samples."""
    decimal_comma: bool
    """True where numbers have a comma in place of the point."""

    @property
    def time_column(self) -> int | None:
        """The place of a column of times whose unit is given."""
        for column, name in enumerate(self.names):
            match = _TIMES.fullmatch(_folded(name))
            if match and (match["unit"] or _is_clock(self.units[column])):
                return column
        return None

    def seconds_per_time(self) -> float | None:
        """Return the seconds in a unit of the column of times; None where it holds clocks."""
        column = self.time_column
        match = None if column is None else _TIMES.fullmatch(_folded(self.names[column]))
        unit = match["unit"] if match else None
        return 1 / _PER_SECOND[unit] if unit in _PER_SECOND else None

    def others(self) -> tuple[str, ...]:
        """Return the names of the columns that are neither leads nor times nor numbers of rows."""
        return tuple(name for name in self.found.dropped if not is_time(name))


def find_layout(
    lines: Sequence[str], leads_as: Mapping[str, str] | None = None
) -> CsvLayout | None:
    """Find the line that names leads among the first lines of a file; None where there is none.

    Raises RepeatedLeadError for a lead that two columns are.
    """
    facts: list[list[str]] = []
    for number, line in enumerate(lines[:_MOST_LINES]):
        delimiter = max(DELIMITERS, key=line.count)
        cells = split_cells(line, delimiter)
        if _names_a_column(cells, leads_as) and not _is_fact(cells, lines[number + 1 :], delimiter):
            return _below(lines, number, cells, delimiter, facts, leads_as)
        facts.append(cells)
    return _one_lead(lines, facts, leads_as)


def has_samples(lines: Sequence[str]) -> bool:
    """Tell samples from prose: some line holds numbers, and beside them a time at most."""
    for line in lines[: 2 * _MOST_LINES]:
        cells = [cell for cell in split_cells(line, max(DELIMITERS, key=line.count)) if cell]
        numbers = sum(cell[-1:].isdecimal() and _is_number(cell) for cell in cells)
        if numbers and numbers >= len(cells) - 1:
            return True
    return False


def is_time(name: str) -> bool:
    """Tell a column of times, or of the numbers of rows, by its name."""
    return _folded(name) in _NUMBERS_OF_ROWS or bool(_TIMES.fullmatch(_folded(name)))


def split_cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, without quotes; none of a line that cannot be split."""
    try:
        cells = next(csv.reader([line[:LONGEST_LINE]], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip(_QUOTES) for cell in cells]


def number_in(cell: str) -> float:
    """Return the number in a cell, NaN of one that says that it has none; raises ValueError."""
    text = cell.strip(_QUOTES)
    if text.lower() in _MISSING:
        return float("nan")
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", "."))


def _names_a_column(cells: Sequence[str], leads_as: Mapping[str, str] | None) -> bool:
    mapped = {key.strip().casefold() for key in leads_as or {}}
    return any(cell.casefold() in mapped or known_lead(cell) for cell in cells)


def _is_fact(cells: Sequence[str], below: Sequence[str], delimiter: str) -> bool:
    """Tell a key and a value from names of columns: one number stands in a row below."""
    if len(cells) != 2 or known_lead(cells[0]) or is_time(cells[0]):
        return False
    rows = [line for line in below[:_MOST_LINES] if line.strip()]
    first = next((line for line in rows if _is_number(line)), None)
    return first is not None and len(split_cells(first, delimiter)) == 1


def _is_number(text: str) -> bool:
    try:
        number_in(text)
    except ValueError:
        return False
    return bool(text.strip())


def _below(
    lines: Sequence[str],
    number: int,
    names: list[str],
    delimiter: str,
    facts: Sequence[Sequence[str]],
    leads_as: Mapping[str, str] | None,
) -> CsvLayout:
    """Return the layout of a file whose line `number` names the leads."""
    found = find_leads(names, leads_as)
    units = [_unit_in(name) for name in names]
    first = number + 1
    while first < min(len(lines), number + _MOST_LINES):
        cells = split_cells(lines[first], delimiter)
        if any(cells) and _has_number(cells, found):
            break
        if any(units_per_mv(cell) for cell in cells):
            units = [cell or unit for cell, unit in zip(_padded(cells, names), units, strict=True)]
        elif any(cells) and first > number:
            break  # no row of numbers and none of units: the reader says which line
        first += 1
    sample = lines[first] if first < len(lines) else ""
    comma = delimiter != "," and "," in sample
    rate = _rate_in(facts)
    return CsvLayout(delimiter, tuple(names), found, tuple(units), rate, first, comma)


def _one_lead(
    lines: Sequence[str], facts: Sequence[Sequence[str]], leads_as: Mapping[str, str] | None
) -> CsvLayout | None:
    """Return the layout of a file with one column, whose lead a line above names."""
    named = [
        cells[1] for cells in facts if len(cells) == 2 and _names_a_column(cells[1:], leads_as)
    ]
    if len(named) != 1:
        return None
    first = next((n for n, line in enumerate(lines[:_MOST_LINES]) if _is_number(line)), len(lines))
    unit = next((c[1] for c in facts if len(c) == 2 and units_per_mv(c[1])), None)
    comma = first < len(lines) and "," in lines[first]
    found = find_leads(named, leads_as)
    return CsvLayout("\t", tuple(named), found, (unit,), _rate_in(facts), first, comma)


def _has_number(cells: Sequence[str], found: FoundLeads) -> bool:
    return any(_is_number(cells[row]) for row in found.rows.values() if row < len(cells))


def _padded(cells: list[str], names: Sequence[str]) -> list[str]:
    return [*cells, *[""] * len(names)][: len(names)]


def _unit_in(name: str) -> str | None:
    """Return the unit behind the name of a column: `I (mV)`."""
    match = _UNIT_BEHIND.search(name)
    return match[1] if match and units_per_mv(match[1]) else None


def _rate_in(facts: Sequence[Sequence[str]]) -> float | None:
    """Return the sampling rate that a line `key, value` gives."""
    for cells in facts:
        if len(cells) != 2:
            continue
        value = cells[1].strip().lower()
        match = _RATE.fullmatch(value)
        number = match[1] if match else None
        if number is None and _RATE_KEYS.search(_folded(cells[0])):
            number = value if _PLAIN_NUMBER.fullmatch(value) else None
        if number is not None and float(number.replace(",", ".")):
            return float(number.replace(",", "."))
    return None


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.strip(_QUOTES).lower())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _is_clock(unit: str | None) -> bool:
    return bool(unit) and str(unit).lower().startswith("hh:mm")
