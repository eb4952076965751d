"""Counts of a corpus, and its manifest."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.files import file_sha256, json_bytes, open_whole, write_json
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import FORMAT, MANIFEST, describe_index
from lamae.storage.samples import SPLITS
from shards.build.plan import plan_digest
from shards.entries import TEXT
from shards.rejects import REJECTS, most_frequent_first
from shards.repeated import repeated, texts_of

MANIFEST_SHA256 = "manifest.sha256"
"""Holds the SHA-256 of the manifest, which holds that of every other file."""


SUMMARY_SHA256 = "sha256"
"""Key of the checksum of a summary, which a summary of before does not have."""

COUNTED = ("split", "patient_id", "labels", "flags")
"""Columns of the index that are counted."""
_ROWS_AT_ONCE = 2**12


class Counts:
    """Counts of the samples of each split: records, patients, classes."""

    def __init__(self) -> None:
        """Start without samples."""
        self._records = Counter[str]()
        self._patients: dict[str, list[pa.Array]] = defaultdict(list)
        self._classes: dict[str, dict[str, Counter[str]]] = {}
        self._unlabelled: dict[str, Counter[str]] = {}
        self._without_class: dict[str, Counter[str]] = defaultdict(Counter)
        self._flags = Counter[str]()

    def add(self, path: Path) -> None:
        """Count the rows of an index."""
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(COUNTED)):
                self._add(batch)

    def _add(self, batch: pa.RecordBatch) -> None:
        for split in pc.unique(batch["split"]).to_pylist():
            own = batch["patient_id"].filter(pc.equal(batch["split"].cast(pa.string()), split))
            self._patients[split].append(pc.unique(own))
        for row in batch.drop_columns(["patient_id"]).to_pylist():
            split = row["split"]
            self._records[split] += 1
            self._flags.update(row["flags"])
            for label_set, classes in row["labels"]:
                self._add_classes(split, label_set, classes)

    def _patients_of(self, split: str) -> pa.Array:
        """Return the patients of a split, each once."""
        found = self._patients[split] or [pa.array([], pa.string())]
        self._patients[split] = [pc.unique(pa.chunked_array(found))]
        return self._patients[split][0]

    def shared_patients(self) -> list[str]:
        """Return the patients that are in more than one split."""
        patients = pa.chunked_array([self._patients_of(s) for s in list(self._patients)], TEXT)
        return sorted(repeated(lambda: texts_of(patients)))

    def _add_classes(self, split: str, label_set: str, classes: Sequence[str] | None) -> None:
        known = self._classes.setdefault(label_set, {})
        unlabelled = self._unlabelled.setdefault(label_set, Counter())
        if classes is None:
            unlabelled[split] += 1
        elif not classes:
            self._without_class[label_set][split] += 1
        for name in classes or ():
            known.setdefault(name, Counter())[split] += 1

    @property
    def records(self) -> int:
        """Number of samples in all splits."""
        return self._records.total()

    def by_split(self) -> dict[str, dict[str, int]]:
        """Return records and patients of each split."""
        return {
            split: {"records": self._records[split], "patients": len(self._patients_of(split))}
            for split in SPLITS
        }

    @property
    def flags(self) -> dict[str, int]:
        """Findings of quality control on samples that were kept, the most frequent first."""
        return most_frequent_first(self._flags)

    def label_sets(self) -> dict[str, Any]:
        """Return for each label set the samples of each class, and those without labels."""
        return {
            name: {
                "unlabelled": _by_split(self._unlabelled[name]),
                "classes": {c: _by_split(known[c]) for c in sorted(known)},
            }
            for name, known in sorted(self._classes.items())
        }

    def without_class(self) -> dict[str, dict[str, int]]:
        """Return for each label set the samples that were examined and show none of its classes."""
        return {name: _by_split(self._without_class[name]) for name in sorted(self._classes)}


def _by_split(counts: Mapping[str, int]) -> dict[str, int]:
    return {split: counts.get(split, 0) for split in SPLITS}


def write_manifest(
    folder: Path,
    plan: Mapping[str, Any],
    *,
    shards: Sequence[Mapping[str, Any]],
    **found: Any,
) -> None:
    """Write `manifest.json`, which makes the folder a corpus; equal plans write equal bytes.

    Its checksum is written before it, to a file that `sha256sum -c` understands.
    """
    content = {
        "format": FORMAT,
        "plan": plan_digest(plan),
        "index": describe_index(folder),
        "shards": list(shards),
        **found,
        "rejects_sha256": file_sha256(folder / REJECTS),
        "config": plan["settings"],
        "listing": plan["listing"],
        "known": plan["known"],
        "versions": plan["versions"],
    }
    seal_manifest(folder, content)


def write_checked_summary(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write `summary.json` with a checksum of all that it says; return it."""
    content = {name: value for name, value in summary.items() if name != SUMMARY_SHA256}
    checked = content | {SUMMARY_SHA256: summary_checksum(content)}
    write_json(folder / SUMMARY, checked)
    return checked


def summary_checksum(summary: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a summary without its checksum."""
    content = {name: value for name, value in summary.items() if name != SUMMARY_SHA256}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest and, before it, its checksum; a folder with a manifest is finished."""
    written = json_bytes(content)
    for name, file_content in ((MANIFEST_SHA256, checksum_line(written)), (MANIFEST, written)):
        with open_whole(folder / name) as file:
            file.write(file_content)


def checksum_line(manifest: bytes) -> bytes:
    """Return what `manifest.sha256` holds for the bytes of a manifest."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
