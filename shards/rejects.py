"""The list of what was rejected, and why."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamae.errors import RecordError
from lamae.files import open_whole
from shards.entries import Reject

REJECTS = "rejects.csv"


def reject_of(error: RecordError, name: str, source: Path) -> Reject:
    """Return the reject of a recording; its message names files below the source, not where it is.

    So the list is the same on every machine, and tells nothing of this one.
    """
    return Reject(name, error.reason, str(error).replace(f"{source}/", ""))


def by_reason(rejects: Sequence[Reject]) -> dict[str, int]:
    """Return the number of rejects of each reason, the most frequent first."""
    return most_frequent_first(Counter(reject.reason for reject in rejects))


def most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Sort counts, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_rejects(folder: Path, rejects: Sequence[Reject]) -> None:
    """Write `rejects.csv`: one line for each reject."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Reject._fields)
    writer.writerows(rejects)
    with open_whole(folder / REJECTS) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))


def read_rejects(folder: Path) -> list[Reject]:
    """Read `rejects.csv`."""
    with (folder / REJECTS).open(newline="", encoding="utf-8") as file:
        return [Reject(**row) for row in csv.DictReader(file)]
