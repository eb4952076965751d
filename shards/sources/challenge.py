"""PhysioNet/CinC Challenges 2020 and 2021: WFDB records whose headers hold the diagnoses.

Perez Alday et al. 2020, Reyna et al. 2021. A comment `Dx:` lists SNOMED CT codes, in early copies
names of classes. There are no patient ids: each record is its own patient.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lamae.readers.wfdb.record_files import read_wfdb_comments
from shards.entries import Entry, Listing, Reject
from shards.settings import LocalSource
from shards.sources.join import files_below, join
from shards.tables.label_table import LabelTable, label_table_of

LABEL_SET = "dx"
"""The diagnoses as the headers give them."""

_ORIGINS = (
    (re.compile(r"HR(\d{5})"), "ptb-xl/{:d}"),
    (re.compile(r"A(\d{4})"), "cpsc-2018/A{:04d}"),
)
_UNKNOWN = {"", "nan", "unknown"}
_SIGNALS = (".mat", ".dat")


def list_challenge(settings: LocalSource) -> Listing | None:
    """List all records below a folder; a table may add labels, by path or by name of the record.

    The comments of each header are read here, so that labels are known before any signal is.
    """
    paths, rejects = complete_records(settings.source)
    if not paths:
        return None
    names = {path: PurePosixPath(path).name for path in paths}

    def complete(entry: Entry) -> Entry:
        comments = read_wfdb_comments(settings.source / f"{entry.path}.hea")
        return entry._replace(
            labels={**entry.labels, LABEL_SET: diagnoses(comments)},
            about=age_and_sex(comments),
            origin=origin(entry.key),
        )

    table = by_path(label_table_of(settings), names)
    patients = {path: row.patient_id for path, row in table.rows.items()}
    listing = join(names, patients, table, complete, own=names)
    return replace(listing, rejects=[*listing.rejects, *rejects])


def complete_records(source: Path) -> tuple[list[str], list[Reject]]:
    """Return the paths of all headers with a signal file beside them, and of those without."""
    found = files_below(source, [".hea", *_SIGNALS])
    present = set(found)
    headers = [path.removesuffix(".hea") for path in found if path.endswith(".hea")]
    paths = [path for path in headers if any(path + end in present for end in _SIGNALS)]
    message = f"no file of that name in {' or '.join(_SIGNALS)} beside its header"
    lacking = set(headers).difference(paths)
    rejects = [Reject(path, "missing_signal_file", message) for path in headers if path in lacking]
    return paths, rejects


def by_path(table: LabelTable, names: Mapping[str, str]) -> LabelTable:
    """Return a table whose rows name records by path, instead of by name; `names` is by path."""
    paths: dict[str, str] = {}
    for path, name in names.items():
        paths.setdefault(name, path)
    rows = {paths.get(record, record): row for record, row in table.rows.items()}
    return table._replace(rows=rows)


def origin(name: str) -> str:
    """Return where a record of the Challenge was published first; empty where it is not known."""
    for pattern, form in _ORIGINS:
        if match := pattern.fullmatch(name):
            return form.format(int(match[1]))
    return ""


def diagnoses(comments: Iterable[str]) -> tuple[str, ...] | None:
    """Return what the comment `Dx:` lists, each once; None where it is empty or not there."""
    cell = _comment(comments, "dx")
    found = dict.fromkeys(part.strip() for part in cell.split(","))
    return tuple(part for part in found if part.lower() not in _UNKNOWN) or None


def age_and_sex(comments: Iterable[str]) -> dict[str, str]:
    """Return age and sex as the comments give them, where they do."""
    cells = {name: _comment(comments, name) for name in ("age", "sex")}
    return {name: cell for name, cell in cells.items() if cell.lower() not in _UNKNOWN}


def _comment(comments: Iterable[str], name: str) -> str:
    for comment in comments:
        key, _, value = comment.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""
