"""What a folder of shards says of itself: the manifest, and the list of what was rejected."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamae.corpus import FORMAT, MANIFEST, describe_index
from lamae.files import open_whole, write_json
from lamae.samples import SPLITS
from lamae.tracking import versions
from shards.entries import Reject
from shards.settings import ShardsSettings

REJECTS = "rejects.csv"

_VARIES_BETWEEN_EQUAL_RUNS = {"source", "output", "table", "workers"}


class Counts:
    """Counts of the samples of each split: records, patients, classes."""

    def __init__(self) -> None:
        """Start without samples."""
        self._records = Counter[str]()
        self._patients: dict[str, set[str]] = defaultdict(set)
        self._classes: dict[str, dict[str, Counter[str]]] = {}
        self._unlabelled: dict[str, Counter[str]] = {}
        self._dropped = Counter[str]()

    def add(self, fields: Mapping[str, Any], dropped: Sequence[str]) -> None:
        """Count one row of the index, and the signals that its recording has besides."""
        self._dropped.update(dropped)
        split = fields["split"]
        self._records[split] += 1
        self._patients[split].add(fields["patient_id"])
        for label_set, classes in fields["labels"].items():
            known = self._classes.setdefault(label_set, {})
            unlabelled = self._unlabelled.setdefault(label_set, Counter())
            if classes is None:
                unlabelled[split] += 1
            for name in classes or ():
                known.setdefault(name, Counter())[split] += 1

    @property
    def records(self) -> int:
        """Number of samples in all splits."""
        return self._records.total()

    def by_split(self) -> dict[str, dict[str, int]]:
        """Return records and patients of each split."""
        return {
            split: {"records": self._records[split], "patients": len(self._patients[split])}
            for split in SPLITS
        }

    @property
    def dropped_signals(self) -> dict[str, int]:
        """Names of signals that are no standard lead, the most frequent first."""
        return _most_frequent_first(self._dropped)

    def label_sets(self) -> dict[str, Any]:
        """Return for each label set the samples of each class, and those without labels."""
        return {
            name: {
                "unlabelled": _by_split(self._unlabelled[name]),
                "classes": {c: _by_split(known[c]) for c in sorted(known)},
            }
            for name, known in sorted(self._classes.items())
        }


def _by_split(counts: Mapping[str, int]) -> dict[str, int]:
    return {split: counts.get(split, 0) for split in SPLITS}


def by_reason(rejects: Sequence[Reject]) -> dict[str, int]:
    """Return the number of rejects of each reason, the most frequent first."""
    return _most_frequent_first(Counter(reject.reason for reject in rejects))


def _most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_rejects(folder: Path, rejects: Sequence[Reject]) -> None:
    """Write `rejects.csv`: one line for each reject."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Reject._fields)
    writer.writerows(rejects)
    with open_whole(folder / REJECTS) as file:
        file.write(text.getvalue().encode())


def write_manifest(
    settings: ShardsSettings,
    *,
    shards: Sequence[Mapping[str, Any]],
    counts: Counts,
    rejects: Sequence[Reject],
    **further: int,
) -> None:
    """Write `manifest.json`, which makes the folder a corpus; equal runs write equal bytes."""
    config = settings.model_dump(mode="json", exclude=_VARIES_BETWEEN_EQUAL_RUNS)
    content = {
        "format": FORMAT,
        "index": describe_index(settings.output),
        "shards": list(shards),
        "splits": counts.by_split(),
        "rejects": by_reason(rejects),
        **further,
        "dropped_signals": counts.dropped_signals,
        "label_sets": counts.label_sets(),
        "config": config,
        "versions": versions(),
    }
    write_json(settings.output / MANIFEST, content)
