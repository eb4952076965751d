"""The file of splits: who shares its checksum shares the division of the patients.

A row has the key and the name of a recording, a hash of its patient, its split and fold. Recordings
of people are not in it. A build with `splits=` takes it, by key, then by name.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from lamae.errors import InputError
from lamae.files import file_sha256, open_whole, refuse_existing, write_csv
from lamae.storage.corpus import INDEX, Corpus
from lamae.storage.samples import SPLITS
from shards.entries import Entry, Listing, Reject, table_of
from shards.identity import hashed, key_from_environment
from shards.sharing.settings import SplitsSettings

COLUMNS = ("key", "name", "patient", "split", "fold")
"""Columns of the file."""
SHA256 = ".sha256"
"""Ending of the checksum beside the file, as `sha256sum -c` reads it."""

_UNLISTED = "not_in_splits"


class _Share(NamedTuple):
    """Place of a recording."""

    split: str
    fold: int | None


def write_splits(settings: SplitsSettings) -> dict[str, Any]:
    """Write the file and its checksum; returns counts and the checksum.

    Raises InputError for shards that cannot be read and a file that exists.
    """
    output = settings.output
    refuse_existing(output, kind="file")
    corpus = Corpus(settings.data)
    secret = key_from_environment() if settings.keyed else None
    people = {patient: _hash(patient, secret) for patient in set(corpus.patients)}
    rows = (
        (row["key"], row["name"], people[row["patient_id"]], row["split"], _fold_cell(row["fold"]))
        for row in _index_rows(settings.data)
    )
    write_csv(output, COLUMNS, sorted(rows))
    digest = file_sha256(output)
    with open_whole(output.with_name(output.name + SHA256)) as file:
        file.write(f"{digest}  {output.name}\n".encode())
    counts = {split: len(corpus.rows(split)) for split in corpus.splits()}
    return counts | {"patients": len(people), "sha256": digest, "file": str(output)}


def _index_rows(folder: Path) -> Iterator[dict[str, Any]]:
    columns = ["key", "name", "patient_id", "split", "fold"]
    with pq.ParquetFile(folder / INDEX) as file:
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()


def _fold_cell(fold: int | None) -> str:
    return "" if fold is None else str(fold)


def _hash(patient: str, secret: bytes | None) -> str:
    if secret is not None:
        return hashed(patient, secret)
    return blake2b(patient.encode(), digest_size=16, person=b"lamae-splits").hexdigest()


def with_given_splits(listing: Listing, path: Path) -> Listing:
    """Give each recording the split and fold that a file says; those that it lacks are rejects.

    Raises InputError for a file that is none, that its checksum does not fit, or that names no
    recording of the listing.
    """
    by_key, by_name = _read(path)
    rejects = list(listing.rejects)

    def kept() -> Iterator[Entry]:
        for entry in listing:
            share = by_key.get(entry.key) or by_name.get(entry.name) or by_name.get(entry.path)
            if share is None:
                message = f"{path.name} does not name it, by its key {entry.key} or its name"
                rejects.append(Reject(entry.name, _UNLISTED, message))
            else:
                yield _with(entry, share)

    table = table_of(kept())
    number = int(table.num_rows)
    if not number:
        raise _no_splits(path, f"none of {len(listing)} recordings is in it")
    missing = len(by_key) - number
    found = f"splits: {path.name} names {len(by_key)} recordings, of which {number} are here"
    doubts = [f"{missing} recordings of {path.name} are not in the source"] if missing > 0 else []
    return replace(
        listing,
        table=table,
        rejects=rejects,
        found=(*listing.found, found),
        doubts=(*listing.doubts, *doubts),
    )


def _with(entry: Entry, share: _Share) -> Entry:
    fold = entry.fold if share.fold is None else share.fold
    return entry._replace(split=share.split, fold=fold)


def _read(path: Path) -> tuple[Mapping[str, _Share], Mapping[str, _Share]]:
    """Return splits by key, and by those names that one recording alone has."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _no_splits(path, str(error)) from None
    beside = path.with_name(path.name + SHA256)
    digest = hashlib.sha256(content).hexdigest()
    if beside.is_file() and beside.read_text().split()[:1] != [digest]:
        raise _no_splits(path, f"its SHA-256 is not that of {beside.name}")
    try:
        rows = list(csv.DictReader(content.decode().splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_splits(path, str(error)) from None
    by_key: dict[str, _Share] = {}
    by_name: dict[str, _Share] = {}
    twice: set[str] = set()
    for number, row in enumerate(rows, start=2):
        cells = {name: (row.get(name) or "").removeprefix("'") for name in COLUMNS}
        fold = cells["fold"]
        if cells["split"] not in SPLITS or not cells["key"] or cells["key"] in by_key:
            raise _no_splits(path, f"line {number}: key {cells['key']!r}, split {cells['split']!r}")
        if fold and not fold.isdecimal():
            raise _no_splits(path, f"line {number}: fold {fold!r}")
        share = _Share(cells["split"], int(fold) if fold else None)
        by_key[cells["key"]] = share
        twice |= {cells["name"]} & by_name.keys()
        by_name[cells["name"]] = share
    if not rows:
        raise _no_splits(path, "no rows")
    return by_key, {name: share for name, share in by_name.items() if name not in twice | {""}}


def _no_splits(path: Path, value: str) -> InputError:
    return InputError(
        f"splits {path}",
        value=value,
        expected=f"the file of `splits` with its columns {', '.join(COLUMNS)}, as it was written",
        remedy="Get the file again with its checksum, or leave splits= out.",
    )
