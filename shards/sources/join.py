"""Recordings and the rows of tables that name them are joined; nothing is lost in silence."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from lamae.storage.samples import sample_key
from shards.entries import Entry, Listing, Reject
from shards.sources.tables import LabelRow, LabelTable

_LONGEST_KEY = 90
"""With an extension, a name in a POSIX tar has at most 100 bytes."""
_OUTSIDE = ("path_outside_source", "a table names a path that is not below the source folder")


def files_below(source: Path, suffixes: Iterable[str], below: str = "") -> list[str]:
    """Return the paths below a folder that end in one of `suffixes`, sorted."""
    ends = tuple(suffixes)
    found = []
    for folder, _, names in os.walk(source / below):
        relative = Path(folder).relative_to(source)
        found += [(relative / name).as_posix() for name in names if name.endswith(ends)]
    return sorted(found)


def headers_below(source: Path, below: str = "") -> list[str]:
    """Return the paths of all WFDB headers below a folder, sorted, without extension."""
    return [path.removesuffix(".hea") for path in files_below(source, [".hea"], below)]


def is_inside(path: str) -> bool:
    """Whether a path that a table gives names something below the source folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


def join(
    keys: Mapping[str, str],
    patients: Mapping[str, str],
    table: LabelTable,
    complete: Callable[[Entry], Entry] = lambda entry: entry,
) -> Listing:
    """Join recordings (path to key) with the table's rows by path.

    `complete` adds what only the source knows of an entry: its reader, origin, or labels.
    """
    rejects = [_row_without_record(record) for record in table.rows if record not in keys]
    bare = LabelRow(None, None, {})
    entries = []
    shorts = _sample_keys(keys.values())
    for path, key in keys.items():
        row = table.rows.get(path, bare)
        labels = table.unlabelled() if row is bare else row.labels
        patient = patients.get(path, path)
        if not is_inside(path):
            rejects.append(Reject(path, *_OUTSIDE))
            continue
        if not _is_text(path):
            name = path.encode(errors="backslashreplace").decode()
            rejects.append(Reject(name, "unreadable_name", "the name of the file is not UTF-8"))
            continue
        if not key or not patient:
            rejects.append(Reject(path, "no_identifier", "it names no study or no patient"))
            continue
        entries.append(
            complete(Entry(shorts[key], path, patient, row.fold, labels, split=row.split))
        )
    unnamed = sum(path not in table.rows for path in keys) if table.rows else 0
    return Listing(entries, rejects, unnamed)


def _is_text(path: str) -> bool:
    """Whether a path can be written as UTF-8; Python keeps other bytes as half of a character."""
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
