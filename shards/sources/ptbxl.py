"""PTB-XL's own tables, `ptbxl_database.csv` and `scp_statements.csv` (Wagner et al. 2020)."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.join import headers_below, is_inside, join
from shards.sources.tables import LabelRow, LabelTable, label_table_of, read_csv, table_error

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"

LABEL_SETS = ("superclass", "subclass", "form", "rhythm", "statements")
"""Diagnostic superclasses and subclasses, form and rhythm statements, and all statements."""

_FILE_COLUMNS = {"records500": "filename_hr", "records100": "filename_lr"}


def list_ptbxl(settings: ShardsSettings) -> Listing | None:
    """List the recordings that a plain table or PTB-XL's own names, and others beside them."""
    table = label_table_of(settings)
    if not table.rows and (settings.source / DATABASE).is_file():
        table = read_database(settings.source)
    if not table.rows:
        return None
    inside = [record for record in table.rows if is_inside(record)]
    folders = sorted({PurePosixPath(record).parts[0] for record in inside})
    on_disk = [path for folder in folders for path in headers_below(settings.source, folder)]
    patients = {record: row.patient_id or record for record, row in table.rows.items()}
    keys = {path: PurePosixPath(path).name for path in on_disk}
    return join(keys, patients, table)


def read_database(folder: Path) -> LabelTable:
    """Read the labels of the recordings at 500 Hz, or at 100 Hz where only these are there.

    A statement counts whatever its likelihood, as in the published benchmark (Strodthoff et al.
    2021). Raises InputError for tables that are not PTB-XL's.
    """
    statements = {
        row[""]: row
        for row in read_csv(
            folder / STATEMENTS,
            ("", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"),
        )
    }
    present = [name for name in _FILE_COLUMNS if (folder / name).is_dir()]
    file_column = _FILE_COLUMNS[present[0] if present else "records500"]
    path = folder / DATABASE
    rows: dict[str, LabelRow] = {}
    for row in read_csv(path, (file_column, "patient_id", "strat_fold", "scp_codes")):
        if not row[file_column]:
            raise table_error(path, f"no {file_column} in the row of patient {row['patient_id']}")
        try:
            rows[row[file_column]] = LabelRow(
                patient_id=str(int(float(row["patient_id"]))),
                fold=int(row["strat_fold"]),
                labels=_labels(ast.literal_eval(row["scp_codes"]), statements),
            )
        except (ValueError, SyntaxError, TypeError, KeyError, OverflowError) as error:
            value = f"{row[file_column]}: {type(error).__name__}: {error}"
            raise table_error(path, value) from None
    return LabelTable(rows, LABEL_SETS)


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
