"""Verification of a folder of shards against what was written, bit for bit.

Every byte is read once. The manifest is held against its own checksum, the index and the shards
against the manifest, the samples against the index and against themselves. Damage raises nothing:
what is found is returned.
"""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError
from tqdm import tqdm

from lamae.errors import InputError
from lamae.files import file_sha256
from lamae.storage.corpus import FORMAT, INDEX, INDEX_SCHEMA, MANIFEST
from shards.build.report import (
    MANIFEST_SHA256,
    Counts,
    checksum_line,
)
from shards.processes import map_tasks
from shards.repeated import repeated
from shards.verify.shard import CheckedShard, ExpectedShard, Problem, check_shard
from shards.verify.side_files import Report, check_rejects, check_summary, unreadable_files

_SHARD_NAME = r"^[A-Za-z0-9_-]+\.tar$"
_ROWS_AT_ONCE = 2**12


class Verification(NamedTuple):
    """Findings in a folder of shards."""

    promised: int
    """Samples that the manifest promises, or where it cannot be read the index, or the tars."""
    intact: int
    """Samples of these without any problem."""
    bytes: int
    """Bytes of shards that were read."""
    seconds: float
    """Duration."""
    problems: tuple[Problem, ...]
    """Faults; none where the folder is what was written."""

    @property
    def megabytes_per_second(self) -> float:
        """Shards read per second, in units of 1,000,000 bytes."""
        return self.bytes / 1e6 / max(self.seconds, 1e-9)


class _ManifestShard(BaseModel):
    file: str = Field(pattern=_SHARD_NAME)
    split: str
    samples: int
    bytes: int
    sha256: str


class _ManifestIndex(BaseModel):
    rows: int
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    """Fields of a manifest that are checked."""

    format: str
    shards: list[_ManifestShard]
    index: _ManifestIndex
    splits: dict[str, Any]
    label_sets: dict[str, Any]
    flags: dict[str, int]
    rejects: dict[str, int]
    doubts: list[str] | None = None
    """None in a manifest whose summary was written before it had a checksum."""
    rejects_sha256: str | None = None
    """None in a manifest that was written before it had this entry."""


class _Indexed(NamedTuple):
    """Totals of the corpus by its index."""

    counts: Counts
    """Records, patients, classes and flags."""
    shards: dict[str, int]
    """Rows of each shard."""
    row_groups: dict[str, list[int]]
    """Row groups of the index that have rows of each shard: few of many."""


def verify_shards(folder: Path, *, workers: int = 1) -> Verification:
    """Read all of a folder of shards and say what is wrong with it, in `workers` processes.

    Raises InputError only for a folder that holds neither a manifest nor an index.
    """
    started = time.monotonic()
    if not any((folder / name).is_file() for name in (MANIFEST, INDEX)):
        raise InputError(
            f"shard folder {folder}",
            value=f"neither {MANIFEST} nor {INDEX}",
            expected="a folder that shards/main.py has finished",
            remedy="Check the path, or build the shards first.",
        )
    problems = unreadable_files(folder)
    if problems:
        return Verification(0, 0, 0, time.monotonic() - started, tuple(problems))
    manifest = _check_manifest(folder, problems.append)
    indexed = _check_index(folder, manifest, problems.append)
    expected = _expected(folder, manifest, indexed, problems.append)
    checked = _check_all(folder, expected, workers=workers)
    problems += [problem for shard in checked for problem in shard.problems]
    _check_copies(folder, checked, problems.append)
    promised = sum(indexed.shards.values()) if indexed else sum(s.samples for s in checked)
    return Verification(
        promised=manifest.index.rows if manifest else promised,
        intact=sum(shard.intact for shard in checked),
        bytes=sum(shard.bytes for shard in checked),
        seconds=time.monotonic() - started,
        problems=tuple(problems),
    )


def _check_manifest(folder: Path, report: Report) -> _Manifest | None:
    """Return the manifest, or None where it is not what was written.

    Shards are then held against the index alone: a wrong manifest would accuse what is intact.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        report(Problem(MANIFEST, f"cannot be read: {error.strerror or error}"))
        return None
    try:
        if (folder / MANIFEST_SHA256).read_bytes() != checksum_line(content):
            report(Problem(MANIFEST, f"its SHA-256 is not that of {MANIFEST_SHA256}"))
            return None
    except OSError as error:
        report(Problem(MANIFEST_SHA256, f"cannot be read: {error.strerror or error}"))
    try:
        manifest = _Manifest.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as error:
        problem = str(error.errors()[0]["loc"]) if isinstance(error, ValidationError) else error
        report(Problem(MANIFEST, f"is not a manifest: {problem}"))
        return None
    if manifest.format != FORMAT:
        report(Problem(MANIFEST, f"format {manifest.format!r}, expected {FORMAT!r}"))
    check_rejects(folder, manifest.rejects, manifest.rejects_sha256, report)
    has_checksum = manifest.doubts is not None
    check_summary(folder, manifest.splits, report, has_checksum=has_checksum)
    return manifest


def _check_index(folder: Path, manifest: _Manifest | None, report: Report) -> _Indexed | None:
    """Return what the index says, or None where it is not what was written.

    One that has another checksum is not even parsed: a decoder may trust what it reads.
    """
    path = folder / INDEX
    try:
        if manifest is not None and file_sha256(path) != manifest.index.sha256:
            report(Problem(INDEX, "its SHA-256 is not the manifest's"))
            return None
        if not pq.read_schema(path).equals(INDEX_SCHEMA):
            report(Problem(INDEX, "has other columns than this version writes"))
            return None
        indexed = _read_index(path, report)
    except (OSError, pa.ArrowException, ValueError) as error:
        report(Problem(INDEX, f"cannot be read: {error}"))
        return None
    if manifest is not None:
        _check_counts(path.stat().st_size, indexed, manifest, report)
    return indexed


def _read_index(path: Path, report: Report) -> _Indexed:
    """Count the rows of the index, and check what no single shard can tell."""
    counts, shards, row_groups = Counts(), Counter[str](), defaultdict[str, list[int]](list)
    counts.add(path)
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            found = Counter(file.read_row_group(number, columns=["shard"])["shard"].to_pylist())
            shards.update(found)
            for shard in found:
                row_groups[shard].append(number)
    for patient, keys in _divided(path, counts.shared_patients()).items():
        report(Problem(INDEX, f"patient {patient!r} is in two splits", tuple(keys)))
    doubled = repeated(lambda: (k for b in _batches(path, "key") for k in b["key"].to_pylist()))
    if doubled:
        report(Problem(INDEX, "more than one row with the same key", tuple(sorted(doubled))))
    return _Indexed(counts, dict(shards), dict(row_groups))


def _divided(path: Path, patients: Sequence[str]) -> dict[str, list[str]]:
    """Return for each patient the recordings that are not in the split of the first."""
    first: dict[str, str] = {}
    divided: dict[str, list[str]] = defaultdict(list)
    wanted = pa.array(patients, pa.string())
    for batch in _batches(path, "key", "patient_id", "split") if patients else ():
        for row in batch.filter(pc.is_in(batch["patient_id"], wanted)).to_pylist():
            if first.setdefault(row["patient_id"], row["split"]) != row["split"]:
                divided[row["patient_id"]].append(row["key"])
    return divided


def _batches(path: Path, *names: str) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_ROWS_AT_ONCE, columns=list(names))


def _check_counts(size: int, indexed: _Indexed, manifest: _Manifest, report: Report) -> None:
    counts = indexed.counts
    pairs = {
        "rows of the index": (counts.records, manifest.index.rows),
        "bytes of the index": (size, manifest.index.bytes),
        "counts by split": (counts.by_split(), manifest.splits),
        "counts by class": (counts.label_sets(), manifest.label_sets),
        "counts by flag": (counts.flags, manifest.flags),
    }
    for name, (found, stated) in pairs.items():
        if found != stated:
            report(Problem(MANIFEST, f"its {name} are not those of the index"))


def _expected(
    folder: Path, manifest: _Manifest | None, indexed: _Indexed | None, report: Report
) -> list[ExpectedShard]:
    """Return the shards to check: those of the manifest, else those of the index and the folder."""
    present = {path.name for path in folder.glob("*.tar")}
    named = set(indexed.shards) if indexed else set()
    if manifest is None:
        files = sorted(present | {name for name in named if re.match(_SHARD_NAME, name)})
        return [ExpectedShard(file, row_groups=_groups_of(file, indexed)) for file in files]
    listed = Counter(shard.file for shard in manifest.shards)
    for file, times in listed.items():
        if times > 1:
            report(Problem(MANIFEST, f"lists {file} {times} times"))
    for file in sorted(named - set(listed)):
        report(Problem(INDEX, f"names {file}, which the manifest does not list"))
    for file in sorted(present - set(listed)):
        report(Problem(file, "is not listed in the manifest"))
    return [
        ExpectedShard(**shard.model_dump(), row_groups=_groups_of(shard.file, indexed))
        for shard in manifest.shards
    ]


def _groups_of(shard: str, indexed: _Indexed | None) -> tuple[int, ...] | None:
    return None if indexed is None else tuple(indexed.row_groups.get(shard, ()))


def _check_all(
    folder: Path, expected: Sequence[ExpectedShard], *, workers: int
) -> list[CheckedShard]:
    check = partial(check_shard, folder=folder)
    sizes = (shard.bytes or 0 for shard in expected)
    checked = []
    with tqdm(total=sum(sizes) or None, unit="B", unit_scale=True, disable=None) as bar:
        for shard in map_tasks(check, expected, processes=workers):
            checked.append(shard)
            bar.update(shard.bytes)
    return checked


def _check_copies(folder: Path, checked: Iterable[CheckedShard], report: Report) -> None:
    """Report tars of equal content, whether or not the manifest lists them."""
    found = {shard.file: shard.sha256 for shard in checked if shard.sha256}
    for path in sorted(folder.glob("*.tar")):
        if path.name not in found:
            try:
                found[path.name] = file_sha256(path)
            except OSError as error:
                report(Problem(path.name, f"cannot be read: {error.strerror or error}"))
    _report_equal(found, report)


def _report_equal(found: Mapping[str, str], report: Report) -> None:
    first: dict[str, str] = {}
    for file, sha256 in found.items():
        if sha256 in first:
            report(Problem(file, f"has the same content as {first[sha256]}"))
        first.setdefault(sha256, file)
