"""PTB-XL's own tables, `ptbxl_database.csv` and `scp_statements.csv` (Wagner et al. 2020)."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamae.remote.locations import is_inside
from shards.entries import Entry, Listing
from shards.settings import LocalSource
from shards.sources.join import headers_below, join
from shards.tables.cells import whole_number
from shards.tables.label_row import LabelRow
from shards.tables.label_table import LABELS, NO_TABLE, LabelTable, read_label_table
from shards.tables.read_table import read_csv, table_error

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"

LABEL_SETS = ("superclass", "subclass", "form", "rhythm", "statements")
"""Diagnostic superclasses and subclasses, form and rhythm statements, and all statements."""

ORIGIN = "ptb-xl"
"""Dataset of an `Entry.origin`, before a slash and the `ecg_id`."""

_FILE_COLUMNS = {"records500": "filename_hr", "records100": "filename_lr"}


_NUMPY = re.compile(r"np\.(?:float|int)\d+\(([^()]*)\)")  # as numpy 2 writes a number
_NAME = re.compile(r"(\d+)_[lh]r")
_ELSEWHERE = ("filename_lr", "filename_hr", "patient_id", "strat_fold")
_UNREADABLE = (ValueError, SyntaxError, TypeError, KeyError, AttributeError, OverflowError)


class Database(NamedTuple):
    """The rows of PTB-XL's own tables, by recording."""

    table: LabelTable
    """Patients, folds and labels."""
    about: Mapping[str, Mapping[str, str]]
    """All other columns that are filled, by origin: what both rates share, or else by recording.

    `scp_codes` is JSON, a likelihood for each statement.
    """


def list_ptbxl(settings: LocalSource) -> Listing | None:
    """List the recordings that a plain table or PTB-XL's own names, and others beside them."""
    table, about = _plain_table(settings), {}
    if (settings.source / DATABASE).is_file():
        database = read_database(settings.source, settings.records)
        table, about = table if table.rows else database.table, dict(database.about)
    if settings.records:
        below = f"{settings.records}/"
        rows = {path: row for path, row in table.rows.items() if path.startswith(below)}
        table = table._replace(rows=rows)
    if not table.rows:
        return None
    inside = [record for record in table.rows if is_inside(record)]
    folders = sorted({PurePosixPath(record).parts[0] for record in inside})
    on_disk = [path for folder in folders for path in headers_below(settings.source, folder)]
    patients = {record: row.patient_id for record, row in table.rows.items()}
    keys = {path: PurePosixPath(path).name for path in on_disk}

    def complete(entry: Entry) -> Entry:
        origin = _origin(entry.path)
        known = about.get(origin or entry.path, entry.about)
        return entry._replace(about=known, origin=origin)

    return join(keys, patients, table, complete)


def _plain_table(settings: LocalSource) -> LabelTable:
    """Return a table of labels by recording; its empty cells are negative, as PTB-XL's are."""
    path = settings.table or settings.source / LABELS
    if settings.table is None and not path.is_file():
        return NO_TABLE
    table = read_label_table(path, settings, negative=("",))
    return table._replace(rows={_record(name): row for name, row in table.rows.items()})


def _record(cell: str) -> str:
    """Return the path of a recording as PTB-XL writes it."""
    return cell.strip().replace("\\", "/").removesuffix(".hea").removesuffix(".dat")


def _origin(path: str) -> str:
    name = _NAME.fullmatch(PurePosixPath(path).name)
    return f"{ORIGIN}/{int(name[1])}" if name else ""


def read_database(folder: Path, records: str | None = None) -> Database:
    """Read PTB-XL's tables for the recordings in `records`: records500 or records100.

    None takes those at 500 Hz, or at 100 Hz where only these are there. A statement counts as a
    label whatever its likelihood, as in the published benchmark (Strodthoff et al. 2021). Raises
    InputError for tables that are not PTB-XL's.
    """
    statements = {
        row[""]: row
        for row in read_csv(
            folder / STATEMENTS,
            ("", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"),
        )
    }
    present = [name for name in _FILE_COLUMNS if (folder / name).is_dir()]
    file_column = _FILE_COLUMNS[records or (present[0] if present else "records500")]
    path = folder / DATABASE
    rows: dict[str, LabelRow] = {}
    about = {}
    for row in read_csv(path, (file_column, "patient_id", "strat_fold", "scp_codes")):
        name = _record(row[file_column])
        if not name:
            raise table_error(path, f"no {file_column} in the row of patient {row['patient_id']}")
        if name in rows:
            raise table_error(path, f"{name} in two rows")
        try:
            codes = ast.literal_eval(_NUMPY.sub(r"\1", row["scp_codes"]))
            rows[name] = LabelRow(
                patient_id=row["patient_id"],
                fold=_fold(row["strat_fold"]),
                labels=_labels(codes, statements),
            )
            row["scp_codes"] = json.dumps(codes)
        except _UNREADABLE as error:
            raise table_error(path, f"{name}: {type(error).__name__}: {error}") from None
        about[_origin(name) or name] = {
            key: cell for key, cell in row.items() if cell and key not in _ELSEWHERE
        }
    return Database(LabelTable(rows, LABEL_SETS), about)


def _fold(cell: str) -> int:
    fold = whole_number(cell)
    if fold is None:
        raise ValueError(f"strat_fold {cell!r} is no whole number")
    return fold


def _labels(
    codes: Mapping[str, float], statements: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, ...]]:
    known = {code: statements[code] for code in codes}
    kinds = {
        kind: [code for code in known if _is(known[code][kind])]
        for kind in ("diagnostic", "form", "rhythm")
    }
    diagnostic = [known[code] for code in kinds["diagnostic"]]
    return {
        "superclass": _distinct(row["diagnostic_class"] for row in diagnostic),
        "subclass": _distinct(row["diagnostic_subclass"] for row in diagnostic),
        "form": _distinct(kinds["form"]),
        "rhythm": _distinct(kinds["rhythm"]),
        "statements": _distinct(known),
    }


def _is(cell: str) -> bool:
    return bool(cell) and float(cell) == 1


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name}))
