"""From a source to a finished folder of shards."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lamae.corpus import INDEX, MANIFEST, write_index
from lamae.errors import InputError
from lamae.samples import SPLITS
from lamae.tracking import SUMMARY, write_summary
from shards.encode import Encoded, encode_in_order
from shards.entries import Reject
from shards.report import REJECTS, Counts, by_reason, write_manifest, write_rejects
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source
from shards.split import assign_splits
from shards.writer import ShardWriter

_OURS = re.compile(
    rf"(({'|'.join(SPLITS)})-\d{{6,}}\.tar|{'|'.join(map(re.escape, (INDEX, REJECTS, SUMMARY)))})"
    rf"(\.partial)?|{re.escape(MANIFEST)}\.partial"
)


def build_shards(settings: ShardsSettings) -> dict[str, Any]:
    """Read the source, write the shards; returns the content of `summary.json`.

    Raises InputError for a source, split or output folder that cannot be used, and if no
    recording is left.
    """
    started = time.monotonic()
    listing = list_source(settings)
    splits = assign_splits(listing.entries, settings.split)
    tasks = [(entry, split) for entry, split in zip(listing.entries, splits, strict=True) if split]
    prepare_output(settings.output)

    rejects, counts = list(listing.rejects), Counts()
    with (
        closing(encode_in_order(tasks, settings)) as outcomes,
        ShardWriter(settings.output, shard_bytes=settings.shard_mb * 1e6) as writer,
    ):
        shown = tqdm(outcomes, total=len(tasks), unit="rec", disable=None)
        write_index(settings.output, _written(shown, writer, counts, rejects))
    write_rejects(settings.output, rejects)
    if not counts.records:
        raise _nothing_left(settings, rejects)

    left_out = len(splits) - len(tasks)
    summary = write_summary(
        settings.output,
        settings,
        records=counts.records,
        splits=counts.by_split(),
        rejects=by_reason(rejects),
        left_out=left_out,
        record_without_label_row=listing.without_label_row,
        dropped_signals=counts.dropped_signals,
        seed=None if settings.split.by_fold else settings.split.seed,
        seconds=round(time.monotonic() - started, 1),
    )
    write_manifest(
        settings,
        shards=writer.shards,
        counts=counts,
        rejects=rejects,
        left_out=left_out,
        record_without_label_row=listing.without_label_row,
    )
    return summary


def _written(
    outcomes: Iterable[Encoded | Reject], writer: ShardWriter, counts: Counts, rejects: list[Reject]
) -> Iterator[dict[str, Any]]:
    """Write samples as they come, keep account of everything, and yield their index rows."""
    for outcome in outcomes:
        if isinstance(outcome, Reject):
            rejects.append(outcome)
        else:
            counts.add(outcome.fields, outcome.dropped)
            yield writer.add(outcome)


def prepare_output(folder: Path) -> None:
    """Make the output folder empty: what an interrupted run has left in it is removed.

    Raises InputError if it holds finished shards or files that are not this program's.
    """
    if (folder / MANIFEST).exists():
        raise InputError(
            f"output {folder}",
            value="finished shards are in it",
            expected="a new folder",
            remedy="Name another output=, or delete the folder.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    present = sorted(folder.iterdir())
    foreign = [path.name for path in present if not _OURS.fullmatch(path.name)]
    if foreign:
        raise InputError(
            f"output {folder}",
            value=f"{len(foreign)} other files are in it, such as {foreign[0]}",
            expected="a new or empty folder",
            remedy="Name another output=.",
        )
    for path in present:
        path.unlink()


def _nothing_left(settings: ShardsSettings, rejects: list[Reject]) -> InputError:
    return InputError(
        f"source {settings.source}",
        value=f"no usable recording: rejects {by_reason(rejects) or 'none'}, the rest left out",
        expected="at least one",
        remedy=f"Read {settings.output / REJECTS}, then check source=, split= and preprocess=.",
    )
