"""Summaries on the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.files import printable
from lamae.storage.corpus import MANIFEST
from lamae.storage.samples import SPLITS
from shards.rejects import NOT_READ, REJECTS

if TYPE_CHECKING:
    from shards.verify.corpus import Verification

_KEYS_NAMED = 8
_CLASSES_NAMED = 12


def summary_lines(output: Path | str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Say what was written, what was rejected, and where it is."""
    place = str(output).rstrip("/")
    for split, count in summary["splits"].items():
        yield f"{split:>5}: {count['records']} records of {count['patients']} patients"
    yield from table_lines(summary)
    yield from reject_lines(summary["rejects"], summary.get("not_read", ()))
    for reason, number in summary["flags"].items():
        yield f"flagged {number}: {reason}"
    if summary["left_out"]:
        yield f"left out {summary['left_out']}: in no split"
    if summary["record_without_label_row"]:
        yield f"unlabelled {summary['record_without_label_row']}: record_without_label_row"
    if summary.get("record_without_patient"):
        number = summary["record_without_patient"]
        yield f"without patient {number}: each of these recordings counts as its own patient"
    for name, number in summary["dropped_signals"].items():
        yield f"dropped {number}: signal {name!r} is no standard lead"
    if summary["rejects"]:
        yield f"each reject: {place}/{REJECTS}"
    yield f"wrote {summary['records']} records in {summary['seconds']} s: {place}/{MANIFEST}"


def table_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found in the table, the classes by split, and what should be looked at."""
    for sentence in summary.get("found", ()):
        yield printable(sentence)
    for name, label_set in summary.get("label_sets", {}).items():
        classes = label_set["classes"]
        yield f"label set {printable(name)}: {len(classes)} classes (train, val, test)"
        shown = sorted(classes, key=lambda c: (-sum(classes[c].values()), c))[:_CLASSES_NAMED]
        for each in shown:
            yield f"  {printable(each)}: {_counts(classes[each])}"
        if len(classes) > len(shown):
            yield f"  and {len(classes) - len(shown)} rarer ones"
        without = summary.get("without_class", {}).get(name, {})
        for what, counts in ("none of them", without), ("unlabelled", label_set["unlabelled"]):
            if any(counts.values()):
                yield f"  {what}: {_counts(counts)}"
    for sentence in summary.get("doubts", ()):
        yield f"look at: {printable(sentence)}"


def reject_lines(
    rejects: Mapping[str, int], not_read: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the rejects by reason, and the files that were not read by ending, with a remedy."""
    for reason, number in rejects.items():
        if reason != NOT_READ or not not_read:
            yield f"rejected {number}: {reason}"
    for each in not_read:
        ending = each["ending"] or "without ending"
        example = printable(each["example"])
        yield f"not read {each['number']} {ending}: {example}. {printable(each['message'])}"


def _counts(by_split: Mapping[str, int]) -> str:
    return ", ".join(str(by_split[split]) for split in SPLITS)


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
