"""A build from a remote source, into a remote output, or both.

All is built on this machine, as it is from a folder to a folder, and gives the same bytes.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from lamae.errors import InputError
from lamae.remote.store import Store
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import MANIFEST
from shards.build.blocks import build_block
from shards.build.plan import PLAN, locked, make_plan, plan_digest
from shards.build.report import write_checked_summary
from shards.build.run import BuildBlock, PartBuilt, build_part, build_shards
from shards.entries import BUILDING
from shards.remote.source import Mirror, build_fetched_block, fetch_listing
from shards.settings import CommandSettings, ShardsSettings

UPLOADING = "uploading.json"
"""Says in an unfinished remote output of which plan it is; removed after the manifest is there."""


class _Here(NamedTuple):
    """A build on this machine."""

    settings: ShardsSettings
    build: BuildBlock


def build_remote_shards(given: CommandSettings) -> dict[str, Any]:
    """Build as `build_shards` does where the source or the output is remote.

    Raises InputError as that does, and for a store that refuses or does not answer. Given again,
    the build or the upload goes on with what is finished.
    """
    if isinstance(given.output, Path):
        with _fetched(given, given.output) as here:
            return _build(given, here)
    assert given.scratch is not None  # the settings refuse a remote output without it
    store, output = Store(given.output), given.scratch / "shards"
    with _fetched(given, output) as here:
        uploaded = store.read(MANIFEST)
        if uploaded is None:
            summary = _build(given, here)
            upload(output, store)
        else:
            summary = _finished(store, uploaded, here.settings)
    shutil.rmtree(output, ignore_errors=True)
    return summary


def build_remote_part(given: CommandSettings) -> PartBuilt:
    """Build a part as `build_part` does, from a remote source; raises what that raises."""
    assert isinstance(given.output, Path)  # the settings refuse parts of a remote output
    with _fetched(given, given.output) as here:
        return build_part(here.settings, here.build)


def _build(given: CommandSettings, here: _Here) -> dict[str, Any]:
    """Build, and let the summary say where the recordings really are from."""
    summary = build_shards(here.settings, here.build)
    summary["config"] |= {"source": str(given.source), "output": str(given.output)}
    return write_checked_summary(here.settings.output, summary)


@contextmanager
def _fetched(given: CommandSettings, output: Path) -> Iterator[_Here]:
    """Have what the listing of the source needs here; without a plan to go on, remove it."""
    if isinstance(given.source, Path):
        yield _Here(given.in_folders(given.source, output), build_block)
        return
    building = output / BUILDING
    folder = (given.scratch or building) / f"source-{given.part}"
    folder.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(given.source.rstrip("/"), given.source_kind, folder)
    finished = False
    try:
        with locked(folder, given.part):
            fetch_listing(mirror)
            build = partial(build_fetched_block, mirror=mirror)
            yield _Here(given.in_folders(mirror.listing, output), build)
        finished = True
    finally:
        if finished or not (building / PLAN).exists():
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # not empty: the output, or a build in it, is another's
                building.rmdir()


def _finished(store: Store, manifest: bytes, settings: ShardsSettings) -> dict[str, Any]:
    """Return the summary of a remote output that is what would be built.

    Raises InputError if it is another.
    """
    if json.loads(manifest).get("plan") != plan_digest(make_plan(settings).content):
        raise InputError(
            f"output {store.url}",
            value="finished shards of another source, other settings or versions are in it",
            expected="a new place",
            remedy="Name another output=.",
        )
    store.remove(UPLOADING)
    found: dict[str, Any] = json.loads(store.read(SUMMARY) or b"{}")
    return found


def upload(folder: Path, store: Store) -> None:
    """Copy finished shards to an empty place in a store, the manifest last.

    A shard that an earlier call has copied is not copied again. Raises InputError if the place
    holds files of others, and where the store does not take ours.
    """
    plan = json.loads((folder / MANIFEST).read_text())["plan"]
    mark = json.dumps({"plan": plan}).encode()
    found = store.read(UPLOADING)
    others = list(store.list(recursive=False)) if found is None else [UPLOADING] * (found != mark)
    if others:
        raise InputError(
            f"output {store.url}",
            value=f"{len(others)} other files are in it, such as {others[0]}",
            expected="a new or empty place, or one where the upload of these shards was cut short",
            remedy="Name another output=.",
        )
    store.write(UPLOADING, mark)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    for path in tqdm(files, desc="upload", unit="file", disable=None):
        if path.suffix != ".tar" or not store.holds(path, path.name):
            store.send(path, path.name)
    store.send(folder / MANIFEST, MANIFEST)
    store.remove(UPLOADING)
