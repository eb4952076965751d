"""Rows of a table beside the recordings that they name, however they write a path."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from lamae.errors import InputError
from shards.tables.cells import identifier
from shards.tables.read_table import table_error

_DRIVE = re.compile(r"[A-Za-z]:")

Row = TypeVar("Row")


class Matched(NamedTuple):
    """Names of a table, and the recordings that they mean."""

    paths: dict[str, str]
    """By name in the table: path of the recording."""
    ambiguous: dict[str, tuple[str, ...]]
    """By name: the recordings that it might mean."""


def match_rows(
    names: Collection[str],
    recordings: Mapping[str, Iterable[str]],
    *,
    source: Path,
    table: Path,
    endings: Collection[str],
) -> Matched:
    """Find the recording that each name of a table means.

    In this order: its path below the source or from the table's folder, an absolute path below the
    source; then a path of which one ends in the other, such as the bare name of a file, where only
    one row and one recording fit. Endings of files may be absent, in any case, and slashes of
    either kind.

    Args:
        names: cells of the table.
        recordings: for each path below the source its names, with and without ending.
        source: the folder of the recordings.
        table: the table's file.
        endings: endings of files that may be left out, in lower case.
    """
    exact: dict[str, str] = {}
    for path, forms in recordings.items():
        for form in (path, *forms):
            exact.setdefault(form, path)
    by_end = _Ends(recordings, endings)
    folders = (source.resolve(), table.resolve().parent)
    paths: dict[str, str] = {}
    claims: dict[str, list[str]] = defaultdict(list)
    ambiguous: dict[str, tuple[str, ...]] = {}
    for name in names:
        if name in exact:
            paths[name] = exact[name]
            continue
        found = next((exact[f] for f in _forms(name, folders, endings) if f in exact), None)
        if found is not None:
            paths[name] = found
            continue
        candidates = by_end.find(_plain(name))
        if len(candidates) == 1:
            claims[candidates[0]].append(name)
        elif candidates:
            ambiguous[name] = candidates
    taken = set(paths.values())
    for path, claimants in claims.items():
        if len(claimants) == 1 and path not in taken:
            paths[claimants[0]] = path
        else:
            ambiguous |= dict.fromkeys(claimants, (path,))
    return Matched(paths, ambiguous)


class _Ends:
    """Recordings by the last part of their paths."""

    def __init__(self, recordings: Iterable[str], endings: Collection[str]) -> None:
        self._endings = endings
        self._by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for path in recordings:
            parts = PurePosixPath(_without_ending(path, endings)).parts
            self._by_name[parts[-1]].append((parts, path))

    def find(self, name: str) -> tuple[str, ...]:
        """Return the recordings whose path ends in this one, or this one in theirs."""
        plain = PurePosixPath(_without_ending(name, self._endings))
        if ".." in plain.parts or not plain.name:
            return ()
        whole = identifier(plain.name) or plain.name
        for last in dict.fromkeys((plain.name, whole)):
            parts = (*plain.parts[:-1], last)
            found = [(own, path) for own, path in self._by_name[last] if _one_ends(own, parts)]
            if len(found) > 1:
                found = [f for f in found if _ending(f[1]) == _ending(name)] or found
            if found:
                return tuple(path for _, path in found)
        return ()


def _one_ends(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]


def _forms(name: str, folders: tuple[Path, Path], endings: Collection[str]) -> Iterable[str]:
    """Yield the paths below the source that a name may mean."""
    plain = _plain(name)
    source, beside = folders
    for form in dict.fromkeys((plain, PurePosixPath(plain).as_posix())):
        yield form
        yield _without_ending(form, endings)
    for path in (beside / plain, source / plain):
        whole = Path(*_resolved(path))
        if whole.is_relative_to(source) and whole != source:
            below = whole.relative_to(source).as_posix()
            yield below
            yield _without_ending(below, endings)


def _resolved(path: Path) -> list[str]:
    """Return the parts of a path without `..`, of which no link is looked at."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        else:
            parts.append(part)
    return parts


def _plain(name: str) -> str:
    """Return a path with slashes, without blanks around or the letter of a drive."""
    plain = name.strip().strip("\"'").replace("\\", "/")
    return _DRIVE.sub("", plain, count=1) if _DRIVE.match(plain) else plain


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.casefold()


def _without_ending(path: str, endings: Collection[str]) -> str:
    suffix = PurePosixPath(path).suffix
    return path[: -len(suffix)] if suffix and suffix.casefold() in endings else path


def by_place(table: Path, rows: Mapping[str, Row], places: Mapping[str, str]) -> dict[str, Row]:
    """Return the rows of a table by the place of their recording, of which `places` has the names.

    A row of no recording keeps its own name. Raises InputError for two rows of one recording.
    """
    found: dict[str, Row] = {}
    for record, row in rows.items():
        place = places.get(record) or places.get(identifier(record) or "", record)
        if place in found:
            raise table_error(table, f"{place} in two rows, the second as {record}")
        found[place] = row
    return found


def refuse_strangers(
    table: Path,
    rows: Collection[str],
    recordings: Mapping[str, str],
    *,
    min_matched: float,
) -> None:
    """Raise InputError where too few rows or recordings are matched; one of each is shown.

    Args:
        table: the table's file.
        rows: all its names of recordings.
        recordings: for each path the key or name of the recording, matched or not.
        min_matched: least share of both.
    """
    matched = [row for row in rows if row in recordings]
    least = min_matched * len(rows), min_matched * len(recordings)
    if matched and len(matched) >= least[0] and len(matched) >= least[1]:
        return
    known = set(matched)
    row = next((row for row in rows if row not in known), None)
    recording = next((path for path in recordings if path not in known), None)
    beside = f"row {row!r} beside recording {recording!r}"
    if row is None or recording is None:
        beside = f"recording {recording!r} has no row" if row is None else f"row {row!r} fits none"
    raise InputError(
        f"table {table}",
        value=f"{len(matched)} of {len(rows)} rows and of {len(recordings)} recordings match: "
        f"{beside}",
        expected=f"at least {min_matched:.0%} of both",
        remedy=_remedy(row, recording),
    )


def _remedy(row: str | None, recording: str | None) -> str:
    name, path = (PurePosixPath(_plain(text or "")).stem for text in (row, recording))
    if name and path.isdecimal() and name.isdecimal() and len(name) < len(path):
        return (
            "The zeros at the start of the table's names are lost, as in a spreadsheet: save the "
            "column as text."
        )
    return (
        "Name the recordings by their path below source=, or the column that does in "
        "path_column=; where labels of a few are wanted, lower min_matched."
    )
