"""The list of what was rejected, and why."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamae.errors import RecordError
from lamae.files import write_csv
from shards.entries import Reject

REJECTS = "rejects.csv"
NOT_READ = "not_read"
"""Reason of a file below the source that is no recording."""


class NotRead(NamedTuple):
    """Files of one ending that were not read."""

    ending: str
    """Ending, in lower case; empty where they have none."""
    number: int
    """Number of files."""
    example: str
    """Path of the first."""
    message: str
    """First bytes of an example, and the remedy."""


def not_read(rejects: Sequence[Reject]) -> list[NotRead]:
    """Return the files that were not read by ending, the most frequent first.

    Empty where names are hashed.
    """
    by_ending: dict[str, list[Reject]] = {}
    for reject in rejects:
        if reject.reason == NOT_READ and reject.message:
            ending = PurePosixPath(reject.name).suffix.casefold()
            by_ending.setdefault(ending, []).append(reject)
    sizes = most_frequent_first({ending: len(found) for ending, found in by_ending.items()})
    firsts = {ending: by_ending[ending][0] for ending in sizes}
    return [NotRead(e, sizes[e], first.name, first.message) for e, first in firsts.items()]


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
    write_csv(folder / REJECTS, Reject._fields, rejects)


def read_rejects(folder: Path) -> list[Reject]:
    """Read `rejects.csv`."""
    with (folder / REJECTS).open(newline="", encoding="utf-8") as file:
        return [Reject(**row) for row in csv.DictReader(file)]
