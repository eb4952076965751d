"""PTB-XL's own tables, `ptbxl_database.csv` and `scp_statements.csv` (Wagner et al. 2020)."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from shards.tables import LabelRow, LabelTable, read_csv, table_error

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"

LABEL_SETS = ("superclass", "subclass", "form", "rhythm", "statements")
"""Diagnostic superclasses and subclasses, form and rhythm statements, and all statements."""

_FILE_COLUMNS = {"records500": "filename_hr", "records100": "filename_lr"}


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
