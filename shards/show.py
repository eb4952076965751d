"""What the program says on the terminal of what it has done or found."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.storage.corpus import MANIFEST
from shards.rejects import REJECTS

if TYPE_CHECKING:
    from shards.verify.corpus import Verification

_KEYS_NAMED = 8


def summary_lines(output: Path | str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Say what was written, what was rejected, and where it is."""
    place = str(output).rstrip("/")
    for split, count in summary["splits"].items():
        yield f"{split:>5}: {count['records']} records of {count['patients']} patients"
    for reason, number in summary["rejects"].items():
        yield f"rejected {number}: {reason}"
    for reason, number in summary["flags"].items():
        yield f"flagged {number}: {reason}"
    if summary["left_out"]:
        yield f"left out {summary['left_out']}: in no split"
    if summary["record_without_label_row"]:
        yield f"unlabelled {summary['record_without_label_row']}: record_without_label_row"
    for name, number in summary["dropped_signals"].items():
        yield f"dropped {number}: signal {name!r} is no standard lead"
    if summary["rejects"]:
        yield f"each reject: {place}/{REJECTS}"
    yield f"wrote {summary['records']} records in {summary['seconds']} s: {place}/{MANIFEST}"


def verification_lines(found: "Verification") -> Iterator[str]:
    """Say what is damaged, which records it costs, and how much is intact."""
    for problem in found.problems:
        more = f" and {len(problem.keys) - _KEYS_NAMED} more" * (len(problem.keys) > _KEYS_NAMED)
        named = f" (records {', '.join(problem.keys[:_KEYS_NAMED])}{more})" if problem.keys else ""
        yield f"{problem.file}: {problem.what}{named}"
    speed = f"{found.seconds:.1f} s, {found.megabytes_per_second:.0f} MB/s"
    yield f"{found.intact} of {found.promised} records intact; {speed}"


def description_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what is in a folder of shards; its page says more."""
    yield f"{found['records']} records of {found['patients']} patients, {found['hours']} hours"
    for split, count in found["splits"].items():
        yield f"{split:>5}: {count['records']} records of {count['patients']} patients"
    for name, values in found["recordings"].items():
        yield f"{name}: " + ", ".join(f"{value} ({n})" for value, n in values.items())
    for name, labels in found["label_sets"].items():
        yield f"label set {name}: {len(labels['classes'])} classes"
    for kind in ("rejects", "flags"):
        for reason, number in found[kind].items():
            yield f"{kind[:-1]} {number}: {reason}"
