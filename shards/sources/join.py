"""Recordings and the rows of tables that name them are joined; nothing is lost in silence."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from lamae.errors import InputError
from lamae.storage.corpus import INDEX, MANIFEST
from lamae.storage.samples import sample_key
from shards.entries import BUILDING, Entry, Listing, Reject
from shards.tables.cells import identifier
from shards.tables.label_table import LabelRow, LabelTable

_LONGEST_KEY = 90
"""With an extension, a name in a POSIX tar has at most 100 bytes."""
_OUTSIDE = ("path_outside_source", "a table names a path that is not below the source folder")


def files_below(source: Path, suffixes: Iterable[str], below: str = "") -> list[str]:
    """Return the paths below a folder that end in one of `suffixes`, sorted."""
    ends = tuple(suffixes)
    return [path for path in all_files_below(source, below) if path.endswith(ends)]


def all_files_below(source: Path, below: str = "") -> list[str]:
    """Return the paths of all files below a folder, sorted."""
    found = []
    for folder, folders, names in os.walk(source / below):
        if _holds_shards(folders, names):  # the output of a build may be below its source
            folders.clear()
            continue
        relative = Path(folder).relative_to(source)
        found += [(relative / name).as_posix() for name in names]
    return sorted(found)


def _holds_shards(folders: Sequence[str], names: Sequence[str]) -> bool:
    return {MANIFEST, INDEX} <= set(names) or BUILDING in folders


def headers_below(source: Path, below: str = "") -> list[str]:
    """Return the paths of all WFDB headers below a folder, sorted, without extension."""
    return [path.removesuffix(".hea") for path in files_below(source, [".hea"], below)]


def is_inside(path: str) -> bool:
    """Return True where a path that a table gives names something below the source folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


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
    rejects = [_row_without_record(record) for record in table.rows if record not in keys]
    bare = LabelRow(None, None, {})
    entries, unknown = [], 0
    shorts = _sample_keys(keys.values())
    for path, key in keys.items():
        row = table.rows.get(path, bare)
        labels = table.unlabelled() if row is bare else row.labels
        if not is_inside(path):
            rejects.append(Reject(path, *_OUTSIDE))
            continue
        if not _is_text(path):
            name = path.encode(errors="backslashreplace").decode()
            rejects.append(Reject(name, "unreadable_name", "the name of the file is not UTF-8"))
            continue
        if not key:
            rejects.append(Reject(path, "no_identifier", "it names no study"))
            continue
        patient = patient_of(path, patients.get(path))
        unknown += patient is None
        who = patient or (own or {}).get(path, path)
        entry = Entry(shorts[key], path, who, row.fold, labels, row.split, row.about)
        entries.append(complete(entry))
    unnamed = sum(path not in table.rows for path in keys) if table.rows else 0
    rejects += table.rejects
    return Listing(entries, rejects, unnamed, unknown, table.found, table.doubts)


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


def _row_without_record(record: str) -> Reject:
    if not is_inside(record):
        return Reject(record, *_OUTSIDE)
    message = "the label table names it, the source lacks it"
    return Reject(record, "label_row_without_record", message)


def _sample_keys(names: Iterable[str]) -> dict[str, str]:
    """Return the key of each name; names that no plain key tells apart have a digest in theirs."""
    plain = {name: sample_key(name) for name in names}
    times = Counter(plain.values())
    return {name: _short_key(key, name, times[key] == 1) for name, key in plain.items()}


def _short_key(key: str, name: str, distinct: bool) -> str:
    if distinct and len(key) <= _LONGEST_KEY:
        return key
    digest = blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"{key[: _LONGEST_KEY - len(digest) - 1]}-{digest}"


def with_distinct_keys(listing: Listing) -> Listing:
    """Keep the first entry of each key."""
    first: dict[str, Entry] = {}
    rejects = list(listing.rejects)
    for entry in listing.entries:
        kept = first.setdefault(entry.key, entry)
        if kept is not entry:
            message = f"its key {entry.key} is that of {kept.path}"
            rejects.append(Reject(entry.path, "duplicate_key", message))
    return listing._replace(entries=list(first.values()), rejects=rejects)
