"""The plan of a build, kept in the output folder until it is done, so that it can resume.

`<output>/.building/` holds plan.json, the rejects and the entries of the listing, and the finished
blocks. Runs that share it, one after the other or at the same time, must want the same: plan.json
is a function of the source, the settings and the versions alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.tracking import versions
from lamae.storage.corpus import MANIFEST, Corpus
from shards.build.blocks import PlannedBlock, exclusive_lock, plan_blocks, write_entries
from shards.build.split import assign_splits, empty_splits
from shards.entries import BUILDING, Reject
from shards.identity import hashed, key_from_environment, reject_without_identity
from shards.locks import HeldError, lock
from shards.rejects import REJECTS, write_rejects
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source

PLAN = "plan.json"
GIVEN = "given"
"""Key of the settings as they were given, which equal plans need not share."""

VARIES_BETWEEN_EQUAL_RUNS = {
    "source", "output", "table", "diagnoses", "known", "splits", "workers", "part",
    "parts",
}  # fmt: skip
"""Settings that do not change what is built, and paths whose content other digests hold."""
_LEFT_BEHIND = {BUILDING, REJECTS}
"""Files that a build without any usable recording leaves in its output."""


class Plan(NamedTuple):
    """Everything that building and merging need to agree on."""

    content: dict[str, Any]
    """Content of plan.json."""
    blocks: list[PlannedBlock]
    """All blocks, in the order of the index."""
    entries: pa.Table
    """All recordings: columns of a listing."""
    splits: np.ndarray
    """For each recording the place in SPLITS, or -1 for one that is left out."""
    rejects: list[Reject]
    """Files and rows refused without reading a recording."""


def make_plan(settings: ShardsSettings) -> Plan:
    """List the source and divide it; raises InputError for a source or split of no use."""
    listing = list_source(settings)
    splits = assign_splits(listing, settings.split)
    blocks = plan_blocks(splits, settings.shard_records)
    rejects = listing.rejects
    content = {
        "settings": settings.model_dump(mode="json", exclude=VARIES_BETWEEN_EQUAL_RUNS),
        "versions": versions(),
        "listing": listing.digest(),
        "known": [Corpus(folder).digest for folder in settings.known],
        "blocks": {block.name: block.records for block in blocks},
        "left_out": int(np.count_nonzero(splits < 0)),
        "record_without_patient": listing.without_patient,
        "found": list(listing.found),
        "doubts": [*listing.doubts, *empty_splits(listing, splits, settings.split)],
        "record_without_label_row": listing.without_label_row,
    }
    if settings.hash_ids:
        key = key_from_environment()
        rejects = [reject_without_identity(reject, key) for reject in rejects]
        content["id_key"] = hashed("id_key", key)
    return Plan(content, blocks, listing.table, splits, rejects)


def prepare_output(settings: ShardsSettings, plan: Plan) -> Path:
    """Make or find the folder where this is built; returns it.

    Raises InputError if the output holds finished shards, files of others, or a build of something
    else.
    """
    folder = settings.output
    building = folder / BUILDING
    if not (building / PLAN).exists():
        _refuse_foreign(folder)
    building.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(building, "plan"):  # parts of an array start at the same time
        if (building / PLAN).exists():
            _refuse_other_plan(building, plan)
        else:
            write_rejects(building, plan.rejects)
            write_entries(building, plan.entries, plan.splits)
            given = settings.model_dump(mode="json")
            write_json(building / PLAN, plan.content | {GIVEN: given})
    return building


def _refuse_foreign(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in found if name not in _LEFT_BEHIND]
    if foreign:
        raise InputError(
            f"output {folder}",
            value=f"{len(foreign)} other files are in it, such as {foreign[0]}",
            expected="a new or empty folder, or one where this build was interrupted",
            remedy="Name another output=.",
        )


def is_finished(folder: Path, plan: Plan) -> bool:
    """Return True where the output holds the finished shards of this very plan.

    Raises InputError if it holds finished shards of another.
    """
    if not (folder / MANIFEST).exists():
        return False
    if Corpus(folder).manifest.get("plan") == plan_digest(plan.content):
        return True
    raise InputError(
        f"output {folder}",
        value="finished shards of another source, other settings or versions are in it",
        expected="a new folder",
        remedy="Name another output=, or delete the folder.",
    )


def read_plan(output: Path) -> dict[str, Any]:
    """Return the plan of the build in a folder; raises InputError where there is none."""
    path = output / BUILDING / PLAN
    if not path.is_file():
        is_finished = (output / MANIFEST).exists()
        raise InputError(
            f"output {output}",
            value="no unfinished build" + ("; its shards are finished" * is_finished),
            expected="a folder where parts have been built",
            remedy="Build the parts first: part=0 parts=...",
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def plan_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a plan: equal digests are equal shards."""
    kept = {key: value for key, value in content.items() if key != GIVEN}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _refuse_other_plan(building: Path, plan: Plan) -> None:
    found = json.loads((building / PLAN).read_text())
    if plan_digest(found) == plan_digest(plan.content):
        return
    ours = json.loads(json.dumps(plan.content))
    differing = [key for key in ours if found.get(key) != ours[key]]
    raise InputError(
        f"output {building.parent}",
        value=f"an unfinished build with other {', '.join(differing)}",
        expected="the same source, settings and versions",
        remedy=f"Give those of {building / PLAN}, or delete the folder to start over.",
    )


@contextmanager
def locked(building: Path, part: int) -> Iterator[None]:
    """Hold a part of the build; raises InputError while another process does."""
    try:
        with lock(building / f"part-{part}.lock", wait=False):
            yield
    except HeldError:
        raise InputError(
            f"part {part} of {building.parent}",
            value="another process is building it",
            expected="one process for each part",
            remedy="Wait for it, or stop it.",
        ) from None
