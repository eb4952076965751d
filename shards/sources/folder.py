"""A user's own folder of recordings, with a table of their patients, labels and splits."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from lamae.errors import InputError
from lamae.readers.arrays.array_files import names_leads
from lamae.readers.formats import format_of
from lamae.readers.wfdb.header_files import header_files
from shards.entries import Entry, Listing, Reader
from shards.repeated import texts_of
from shards.settings import LocalSource
from shards.sources.join import all_files_below, join
from shards.sources.people import about_of, stated_people
from shards.tables.label_row import LabelRow
from shards.tables.label_table import NO_TABLE, LabelTable, read_label_table
from shards.tables.match import match_rows, refuse_strangers
from shards.tables.read_table import table_error
from shards.unread import unread_files

READERS_BY_SUFFIX: Mapping[str, Reader] = MappingProxyType(
    {
        ".hea": "wfdb",
        ".mat": "icbeb",
        ".npy": "npy",
        ".csv": "csv",
        ".h5": "hdf5",
        ".hdf5": "hdf5",
    }
)
"""Readers of files with these endings; content tells the format of all others."""
_ENDINGS = (*READERS_BY_SUFFIX, ".dat", ".xml", ".dcm", ".edf", ".scp", ".ecg", ".txt")
_WITHOUT_RATE = {"npy", "hdf5"}
"""Readers of files that never hold their sampling rate, as a .csv file may."""


class _Recognised(NamedTuple):
    """Files of a folder."""

    readers: dict[str, Reader]
    """Reader of each recording by path, which for a WFDB record has no ending."""
    others: list[str]
    """Files that are neither recordings nor parts of one."""
    opened: int
    """Files that were opened to tell what they are."""

    @property
    def stating(self) -> list[str]:
        """Recordings of formats that state whose they are."""
        return [path for path, reader in self.readers.items() if reader == "by_content"]


def list_folder(settings: LocalSource, *, max_opened: int | None = None) -> Listing:
    """List recordings below a folder: the table names their patients, or each record is one.

    A file is a recording if its ending or its first bytes say so, a .csv file if its first lines
    name a lead. The segments of a record are none. Files that are neither recordings nor parts of
    one are rejects. Of more than `max_opened` files, the others are taken for what those of their
    ending are that were opened, every so many.
    """
    files = all_files_below(settings.source)
    found = _recognise(files, settings, max_opened or len(files))
    kinds = set(found.readers.values())
    if kinds and kinds <= _WITHOUT_RATE:
        require_sampling_rate(settings)
    stems = Counter(_stem(path) for path in found.readers)
    keys = {path: path if stems[_stem(path)] > 1 else _stem(path) for path in found.readers}
    table = _table(settings, keys)
    patients = {path: row.patient_id for path, row in table.rows.items()}
    nameless = [path for path in found.stating if patients.get(path) is None]
    nameless = nameless if settings.patients is None else []
    people = stated_people(settings, nameless[:max_opened])
    unread_patients = len(nameless[max_opened:]) if max_opened else 0
    patients |= {path: about.patient_id for path, about in people.of.items()}

    def complete(entry: Entry) -> Entry:
        about = {**about_of(people.of.get(entry.path)), **entry.about}
        return entry._replace(reader=found.readers[entry.path], about=about)

    listing = join(keys, patients, table, complete)
    refused = {reject.name for reject in people.rejects}
    kept = [path not in refused for path in texts_of(listing.table["path"])] if refused else None
    unread = unread_files(settings.source, found.others, table=settings.table)
    said = sum(about.patient_id is not None for about in people.of.values())
    sentences = [f"patients of {said} files: as the files state them"] * bool(said)
    if found.opened < len(files):
        sentences.append(
            f"{found.opened} of {len(files)} files were opened; the others are taken to be alike"
            + f"; whose {unread_patients} of them are, a build reads" * bool(unread_patients)
        )
    return replace(
        listing,
        table=listing.table if kept is None else listing.table.filter(pa.array(kept)),
        rejects=[*listing.rejects, *people.rejects, *unread],
        without_patient=listing.without_patient - len(refused) - unread_patients,
        patients_unread=unread_patients,
        found=(*listing.found, *sentences),
    )


def _recognise(files: Sequence[str], settings: LocalSource, max_opened: int) -> _Recognised:
    """Tell recordings from other files, of which every so many are opened."""
    opened = _every_so_many(files, max_opened)
    headers = header_files(settings.source, files, opened=opened)
    parts = headers.signals | headers.segments
    told = {path: _reader(path, settings) for path in opened if path not in parts}
    by_ending: dict[str, Counter[Reader | None]] = defaultdict(Counter)
    for path, reader in told.items():
        by_ending[_ending(path)][reader] += 1
    readers: dict[str, Reader] = {}
    others = []
    for path in files:
        if path in parts:
            continue
        usual = by_ending[_ending(path)].most_common(1)
        reader = told[path] if path in told else usual[0][0] if usual else None
        if reader is None:
            others.append(path)
        else:
            readers[path[:-4] if reader == "wfdb" else path] = reader
    return _Recognised(readers, others, len(opened))


def require_sampling_rate(settings: LocalSource) -> None:
    """Raise InputError if the settings lack the sampling rate that arrays do not hold."""
    if settings.arrays.sampling_rate is None:
        raise InputError(
            "arrays.sampling_rate",
            value="null, and the recordings are arrays",
            expected="samples per second",
            remedy="Set arrays.sampling_rate.",
        )


def _reader(path: str, settings: LocalSource) -> Reader | None:
    """Return how a file is read; None for one that is no recording."""
    ending, whole = _ending(path), settings.source / path
    reader = READERS_BY_SUFFIX.get(ending)
    if reader == "csv":
        is_recording = not _is_table(whole, settings) and names_leads(
            whole, leads_as=settings.leads_as
        )
        return "csv" if is_recording else None
    if reader is not None or ending == ".dat" or _is_table(whole, settings):
        return reader
    return "by_content" if format_of(whole, leads_as=settings.leads_as) else None


def _every_so_many(files: Sequence[str], most: int) -> list[str]:
    """Return about `most` files, of each ending its share."""
    if len(files) <= most:
        return list(files)
    by_ending: dict[str, list[str]] = defaultdict(list)
    for path in files:
        by_ending[_ending(path)].append(path)
    step = -(-len(files) // most)
    return [path for paths in by_ending.values() for path in paths[::step]]


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.casefold()


def _is_table(path: Path, settings: LocalSource) -> bool:
    return settings.table is not None and path.resolve() == settings.table.resolve()


def _stem(path: str) -> str:
    """Return a path without an ending that is read here; a dot in a name begins no ending."""
    suffix = PurePosixPath(path).suffix
    return path[: -len(suffix)] if suffix.casefold() in READERS_BY_SUFFIX else path


def _table(settings: LocalSource, keys: Mapping[str, str]) -> LabelTable:
    """Return the table by the paths of the recordings, which it may name in other ways."""
    if settings.table is None:
        return NO_TABLE
    table = read_label_table(settings.table, settings)
    recordings = {path: (key,) for path, key in keys.items()}
    matched = match_rows(
        table.rows,
        recordings,
        source=settings.source,
        table=settings.table,
        endings=_ENDINGS,
    )
    rows: dict[str, LabelRow] = {}
    for record, row in table.rows.items():
        path = matched.paths.get(record, record)
        if path in rows:
            raise table_error(settings.table, f"{path} in two rows, the second as {record}")
        rows[path] = row
    refuse_strangers(settings.table, rows, keys, min_matched=settings.min_matched)
    return table._replace(rows=rows)
