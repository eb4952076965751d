"""The fields of all samples as a table, so that the rules of tables of labels hold for them too.

Patients, labels, folds, splits and facts are found in it as in a user's CSV file, by the same
settings and usual names (shards/tables). It is written to a file, row by row.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

KEY = "__key__"
"""Column that names the sample, as WebDataset does."""

NONE_FOUND = "<none>"
"""Cell of an empty list of classes: somebody looked, and found none of them."""
LABELS, ABOUT = _KINDS = ("labels", "about")
"""Fields whose own fields are label sets, and facts."""

_TEXT = (str, date, datetime, time)


class FieldTable:
    """Rows of fields on their way to a CSV file; a context manager.

    What columns there are is known once all rows are, so they wait in a file beside it.
    """

    def __init__(self, path: Path, named: tuple[str, ...]) -> None:
        """Write to `path`; lists of numbers are taken of the columns `named` alone."""
        self.path = path
        self.rows = 0
        self.columns: dict[str, None] = {}
        """Columns, in the order in which they came."""
        self.unused: dict[str, None] = {}
        """Fields that no cell can hold: arrays, and lists of anything but texts."""
        self.of_kind: dict[str, dict[str, None]] = {kind: {} for kind in _KINDS}
        """Columns that came within a field `labels` or `about`, which says what they are."""
        self._named = frozenset(named)
        self._waiting = path.with_suffix(".rows")
        self._file: IO[str]

    def __enter__(self) -> "FieldTable":
        """Open the file of the rows that wait."""
        self._file = self._waiting.open("w", encoding="utf-8", errors="backslashreplace")
        return self

    def add(self, key: str, fields: Mapping[str, Any]) -> None:
        """Add the fields of one sample."""
        cells = {KEY: key}
        for full, value in fields.items():
            kind, name = _kind(full.strip(), fields)
            cell = cell_of(value, numbers=name in self._named)
            if cell is None:
                self.unused[full] = None
            elif name and name != KEY:
                cells[name] = cell
                if kind is not None:
                    self.of_kind[kind][name] = None
        self.columns |= dict.fromkeys(cells)
        self.rows += 1
        self._file.write(f"{json.dumps(cells)}\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the table, unless there was an error."""
        self._file.close()
        if error is None:
            with self.path.open(
                "w", newline="", encoding="utf-8", errors="backslashreplace"
            ) as out:
                writer = csv.DictWriter(out, list(self.columns), restval="")
                writer.writeheader()
                writer.writerows(self._kept())
        self._waiting.unlink()

    def _kept(self) -> Iterator[dict[str, str]]:
        with self._waiting.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def _kind(name: str, fields: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return what a field is by the field that it is in, and its name without that."""
    for kind in _KINDS:
        short = name.removeprefix(f"{kind}.").removeprefix(f"{kind}_") if name != kind else name
        if short != name and short not in fields:
            return kind, short
    return None, name


def cell_of(value: Any, *, numbers: bool) -> str | None:
    """Return the text of a cell; None of what a cell cannot hold.

    Texts of a list are divided by semicolons, as classes are, and so are `numbers` where a setting
    names their column.
    """
    if isinstance(value, list | tuple) and not value:
        return NONE_FOUND
    if isinstance(value, list | tuple):
        cells = [cell_of(each, numbers=numbers) for each in value]
        kept = numbers or all(isinstance(each, str) for each in value)
        return ";".join(c for c in cells if c) if kept and None not in cells else None
    return next((text(value) for kind, text in _CELLS.items() if isinstance(value, kind)), None)


_CELLS: Mapping[type | tuple[type, ...], Callable[[Any], str]] = {
    type(None): lambda value: "",
    bool: lambda value: str(int(value)),
    int: str,
    float: lambda value: "" if math.isnan(value) else repr(value),
    _TEXT: lambda value: str(value).replace("\0", ""),
}
"""Texts of values by type, the first that fits."""
