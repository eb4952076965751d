"""Finished blocks become a corpus: duplicates settled, tars in place, index, rejects, manifest."""

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamae.errors import InputError
from lamae.runs.tracking import read_summary, run_summary
from lamae.storage.corpus import INDEX, MANIFEST, merge_indexes
from shards.build.blocks import Built, disk_errors_as_input_errors, exclusive_lock, read_block
from shards.build.duplicates import settle_duplicates
from shards.build.plan import GIVEN, read_plan
from shards.build.report import Counts, write_checked_summary, write_manifest
from shards.entries import BUILDING, Reject
from shards.rejects import (
    REJECTS,
    by_reason,
    most_frequent_first,
    not_read,
    read_rejects,
    write_rejects,
)
from shards.settings import ShardsSettings

_NAMED = 5


def merge_blocks(output: Path, *, started: float | None = None) -> dict[str, Any]:
    """Finish a folder whose blocks are all built; returns the content of `summary.json`.

    Killed at any moment, it can be called again. `started` is when the work began, by the monotonic
    clock. Raises InputError where blocks are missing or no recording is left.
    """
    started = time.monotonic() if started is None else started
    plan, building = read_plan(output), output / BUILDING
    with (
        disk_errors_as_input_errors(output, "what the shards have in common"),
        exclusive_lock(building, "merge"),
    ):
        summary = _merge(output, plan, started)
    shutil.rmtree(building, ignore_errors=True)  # NFS keeps what a process holds for a while
    return summary


def _merge(output: Path, plan: Mapping[str, Any], started: float) -> dict[str, Any]:
    if (output / MANIFEST).exists():
        return read_summary(output)  # another process has, meanwhile
    building = output / BUILDING
    settings = ShardsSettings.model_validate(plan[GIVEN] | {"output": output})
    names = list(plan["blocks"])
    _refuse_missing(building, names)
    settle_duplicates(building, names, settings)
    blocks = [_in_place(output, building, name) for name in names]
    rejects = read_rejects(building) + [reject for b in blocks for reject in b.rejects]
    counts = Counts()
    tables = [building / f"{name}.parquet" for name in names]
    merge_indexes(output / INDEX, tables)
    for table in tables:
        counts.add(table)
    write_rejects(output, rejects)
    if not counts.records:
        shutil.rmtree(building, ignore_errors=True)
        (output / INDEX).unlink()
        raise _nothing_left(output, rejects)
    found = {
        "splits": counts.by_split(),
        "rejects": by_reason(rejects),
        "flags": counts.flags,
        "left_out": plan["left_out"],
        "record_without_label_row": plan["record_without_label_row"],
        "record_without_patient": plan.get("record_without_patient", 0),
        "found": plan.get("found", []),
        "doubts": plan.get("doubts", []),
        "dropped_signals": _dropped(blocks),
    }
    summary = run_summary(
        settings,
        records=counts.records,
        **found,
        not_read=[each._asdict() for each in not_read(rejects)],
        label_sets=counts.label_sets(),
        without_class=counts.without_class(),
        seed=None if settings.split.by_fold else settings.split.seed,
        seconds=round(time.monotonic() - started, 1),
    )
    summary = write_checked_summary(output, summary)
    write_manifest(
        output,
        plan,
        shards=[block.shard for block in blocks if block.shard],
        label_sets=counts.label_sets(),
        **found,
    )
    return summary


def _refuse_missing(building: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if read_block(building, name) is None]
    if missing:
        more = ", ..." if len(missing) > _NAMED else ""
        raise InputError(
            f"build in {building.parent}",
            value=f"{len(missing)} of {len(names)} shards missing: "
            f"{', '.join(missing[:_NAMED])}{more}",
            expected="all of them",
            remedy="Run the parts that were not finished again; they go on where they were.",
        )


def _in_place(output: Path, building: Path, name: str) -> Built:
    """Move the tar of a block to the output, unless an earlier call has."""
    built = read_block(building, name)
    assert built is not None
    tar = building / f"{name}.tar"
    if built.shard and tar.exists():
        tar.replace(output / tar.name)
    return built


def _dropped(blocks: Sequence[Built]) -> dict[str, int]:
    total = Counter[str]()
    for block in blocks:
        total.update(block.dropped)
    return most_frequent_first(total)


def _nothing_left(output: Path, rejects: Sequence[Reject]) -> InputError:
    return InputError(
        f"shards {output}",
        value=f"no usable recording: rejects {by_reason(rejects) or 'none'}, the rest left out",
        expected="at least one",
        remedy=f"Read {output / REJECTS}, then check source=, split= and quality=.",
    )
