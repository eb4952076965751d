"""Files beside the shards of a corpus: what was rejected, and the summary."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lamae.files import file_sha256
from lamae.runs.tracking import SUMMARY, read_summary
from shards.build.report import SUMMARY_SHA256, summary_checksum
from shards.rejects import REJECTS, by_reason, read_rejects
from shards.verify.shard import Problem

Report = Callable[[Problem], None]


def unreadable_files(folder: Path) -> list[Problem]:
    """Return what is a pipe or a device in a folder of shards: reading it might never end."""
    found = [path for path in sorted(folder.iterdir()) if path.exists()]
    odd = [path for path in found if not path.is_file() and not path.is_dir()]
    return [Problem(path.name, "is a pipe or a device, and nothing was read") for path in odd]


def check_rejects(
    folder: Path, rejects: Mapping[str, int], rejects_sha256: str | None, report: Report
) -> None:
    """Hold the list of rejects against what the manifest says of it."""
    try:
        found = by_reason(read_rejects(folder))
    except (OSError, TypeError, ValueError) as error:
        report(Problem(REJECTS, f"cannot be read: {error}"))
        return
    if found != rejects:
        report(Problem(REJECTS, f"rejects {found}, where the manifest says {rejects}"))
        return
    if rejects_sha256 not in (None, file_sha256(folder / REJECTS)):
        report(Problem(REJECTS, "its SHA-256 is not the manifest's"))


def check_summary(
    folder: Path, splits: Mapping[str, Any], report: Report, *, has_checksum: bool
) -> None:
    """Hold the summary against its own checksum, if it has one, and against the manifest."""
    try:
        summary = dict(read_summary(folder))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        report(Problem(SUMMARY, f"cannot be read: {error}"))
        return
    if has_checksum and summary.get(SUMMARY_SHA256) != summary_checksum(summary):
        report(Problem(SUMMARY, "its content is not that of its SHA-256"))
    elif summary.get("splits") != splits:
        report(Problem(SUMMARY, "its counts by split are not the manifest's"))
