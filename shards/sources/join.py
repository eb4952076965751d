"""Recordings and the rows of tables that name them are joined; nothing is lost in silence."""

import os
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.errors import InputError
from lamae.remote.locations import is_inside
from lamae.storage.corpus import INDEX, MANIFEST
from lamae.storage.samples import sample_key
from shards.entries import BUILDING, COLUMNS, Entry, Listing, Reject, RowWriter, columns_of
from shards.repeated import repeated, texts_of
from shards.tables.cells import identifier
from shards.tables.label_row import LabelRow
from shards.tables.label_table import LabelTable

_LONGEST_KEY = 90
"""With an extension, a name in a POSIX tar has at most 100 bytes."""
_OUTSIDE = ("path_outside_source", "a table names a path that is not below the source folder")


def files_below(source: Path, suffixes: Iterable[str], below: str = "") -> list[str]:
    """Return the paths below a folder that end in one of `suffixes`, sorted."""
    ends = tuple(suffixes)
    return [path for path in all_files_below(source, below) if path.endswith(ends)]


def all_files_below(source: Path, below: str = "") -> list[str]:
    """Return the paths of all files below a folder, sorted.

    Links to folders are not followed, lest they lead in a circle: they are among the files, and so
    is a folder that cannot be opened.
    """
    found, closed = [], list[OSError]()
    for folder, folders, names in os.walk(source / below, onerror=closed.append):
        if _holds_shards(folders, names):  # the output of a build may be below its source
            folders.clear()
            continue
        relative, links = Path(folder).relative_to(source), (Path(folder, name) for name in folders)
        found += [(relative / name).as_posix() for name in names]
        found += [(relative / link.name).as_posix() for link in links if link.is_symlink()]
    below_source = (Path(error.filename).relative_to(source) for error in closed)
    return sorted([*found, *(path.as_posix() for path in below_source if path.name)])


def _holds_shards(folders: Sequence[str], names: Sequence[str]) -> bool:
    return {MANIFEST, INDEX} <= set(names) or BUILDING in folders


def headers_below(source: Path, below: str = "") -> list[str]:
    """Return the paths of all WFDB headers below a folder, sorted, without extension."""
    return [path.removesuffix(".hea") for path in files_below(source, [".hea"], below)]


def join(
    keys: Mapping[str, str],
    patients: Mapping[str, str | None],
    table: LabelTable,
    complete: Callable[[Entry], Entry] = lambda entry: entry,
    *,
    own: Mapping[str, str] | None = None,
) -> Listing:
    """Join recordings with the table's rows by path.

    Args:
        keys: by path, the key of each recording.
        patients: by path, the id of the patient as the source writes it, where it names one.
        table: rows by path.
        complete: adds what only the source knows of an entry: its reader, origin, or labels.
        own: by path, the patient of a recording whose patient nothing names; None takes the path.

    Raises InputError for an id of a patient that is none.
    """
    rejects = [row_without_record(record) for record in table.rows if record not in keys]
    bare = LabelRow(None, None, {})
    rows, unknown = RowWriter(*COLUMNS), 0
    shorts = _sample_keys(keys.values())
    for path, key in keys.items():
        row = table.rows.get(path, bare)
        labels = table.unlabelled() if row is bare else row.labels
        if (refused := refused_path(path, key)) is not None:
            rejects.append(refused)
            continue
        patient = patient_of(path, patients.get(path))
        unknown += patient is None
        who = patient or (own or {}).get(path, path)
        entry = Entry(shorts[key], path, who, row.fold, labels, row.split, row.about)
        rows.add(columns_of(complete(entry)))
    unnamed = sum(path not in table.rows for path in keys) if table.rows else 0
    rejects += table.rejects
    return Listing(rows.table(), rejects, unnamed, unknown, found=table.found, doubts=table.doubts)


def refused_path(path: str, key: str) -> Reject | None:
    """Return why a path that a source names cannot be read; None for one that can."""
    if not is_inside(path):
        return Reject(path, *_OUTSIDE)
    if not _is_text(path):
        name = path.encode(errors="backslashreplace").decode()
        return Reject(name, "unreadable_name", "the name of the file is not UTF-8")
    return None if key else Reject(path, "no_identifier", "it names no study")


def patient_of(path: str, cell: str | None) -> str | None:
    """Return the id of a recording's patient; None where it is missing."""
    try:
        return None if cell is None else identifier(cell)
    except ValueError as error:
        raise InputError(
            f"patient of {path}",
            value=error,
            expected="an id",
            remedy="Correct it in the table that names it.",
        ) from None


def _is_text(path: str) -> bool:
    """Return True where a path can be written as UTF-8; Python keeps other bytes as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def row_without_record(record: str) -> Reject:
    """Return the reject of a row of a table of labels whose recording the source lacks."""
    if not is_inside(record):
        return Reject(record, *_OUTSIDE)
    message = "the label table names it, the source lacks it"
    return Reject(record, "label_row_without_record", message)


def _sample_keys(names: Collection[str]) -> dict[str, str]:
    """Return the key of each name; names that no plain key tells apart have a digest in theirs."""
    different = set(names)
    shared = repeated(lambda: map(sample_key, different))
    return {name: short_key(name, shared) for name in different}


def short_key(name: str, shared: Container[str]) -> str:
    """Return the key of a name; with a digest if it is long, or `shared` has the plain one."""
    key = sample_key(name)
    if key not in shared and len(key) <= _LONGEST_KEY:
        return key
    digest = blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"{key[: _LONGEST_KEY - len(digest) - 1]}-{digest}"


def with_distinct_keys(listing: Listing) -> Listing:
    """Keep the first entry of each key."""
    keys = listing.table["key"]
    twice = repeated(lambda: texts_of(keys))
    if not twice:
        return listing
    first: dict[str, int] = {}
    kept, rejects = np.ones(len(listing), dtype=bool), list(listing.rejects)
    for place in np.flatnonzero(pc.is_in(keys, pa.array(sorted(twice)))).tolist():
        key, path = keys[place].as_py(), listing.table["path"][place].as_py()
        kept[place] = first.setdefault(key, place) == place
        if not kept[place]:
            other = listing.table["path"][first[key]].as_py()
            rejects.append(Reject(path, "duplicate_key", f"its key {key} is that of {other}"))
    return replace(listing, table=listing.table.filter(pa.array(kept)), rejects=rejects)
