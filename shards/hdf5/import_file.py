"""An HDF5 file that shards/hdf5/export.py has written becomes the corpus that it was made of.

The file is taken as a stranger's. Shards are built one by one, and an import that was interrupted
goes on with those that are finished.
"""

import json
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lamae.ecg.leads import lead_number
from lamae.errors import InputError
from lamae.files import open_whole, write_json
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.arrays.hdf5_files import read_array, read_hdf5, recording_names
from lamae.runs.tracking import read_summary, run_summary
from lamae.storage.corpus import INDEX, MANIFEST, describe_index, write_index
from lamae.storage.manifest import parse_manifest, read_manifest
from lamae.storage.samples import Sample, content_digest, decode_sample
from shards.build.blocks import (
    Built,
    disk_errors_as_input_errors,
    read_block,
    read_block_rows,
    write_block,
)
from shards.build.encode import encode_sample
from shards.build.plan import PLAN, locked
from shards.build.report import seal_manifest, write_checked_summary
from shards.build.writer import ShardWriter
from shards.entries import BUILDING
from shards.hdf5.export import METADATA, SIGNALS
from shards.hdf5.settings import ImportSettings
from shards.processes import map_tasks
from shards.rejects import REJECTS

# What is the same in all recordings as the file has them; each one's own is in its metadata.
_LAYOUT = ArrayLayout(sampling_rate=500, gain=1, axes="leads samples", dataset=SIGNALS)
_BY_SHARD = _LAYOUT.model_copy(update={"ids": "shard"})
_UNUSABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_GIVEN = "import.json"


class ShardRows(NamedTuple):
    """The recordings of one shard, which follow each other in the file."""

    name: str
    """Name of the shard, without extension."""
    split: str
    """The split that all of them belong to."""
    start: int
    """The first of them."""
    stop: int
    """The one after the last."""


def import_shards(settings: ImportSettings) -> dict[str, Any]:
    """Write the shards; returns the content of `summary.json`.

    Raises InputError for a file that `export` has not written, an output of something else, and a
    recording that is not the one that was exported.
    """
    started = time.monotonic()
    source, output = settings.source, settings.output
    manifest = _read_manifest(source)
    shards = _shards(source, manifest)
    building = output / BUILDING
    if _is_finished(output, manifest):
        shutil.rmtree(building, ignore_errors=True)
        return read_summary(output)
    with disk_errors_as_input_errors(output, "shards"):
        _prepare(output, manifest)
        with locked(building, 0):
            _build_missing(shards, settings, building)
            summary = _finish(settings, shards, manifest, started)
    shutil.rmtree(building, ignore_errors=True)  # on NFS, not while its lock is held
    return summary


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        return parse_manifest(_bytes(source, MANIFEST), source)
    except InputError as error:
        raise _not_exported(source, str(error)) from None


def _is_finished(output: Path, manifest: dict[str, Any]) -> bool:
    """Return True where the output is this corpus; raises InputError if it is another."""
    if not (output / MANIFEST).exists():
        return False
    if read_manifest(output / MANIFEST).get("plan") == manifest.get("plan"):
        return True
    raise _foreign(output, "another corpus is in it")


def _prepare(output: Path, manifest: dict[str, Any]) -> None:
    """Make or find the folder of unfinished shards, which says of which corpus they are."""
    kept = output / BUILDING / _GIVEN
    if kept.exists():
        if json.loads(kept.read_text()) != manifest:
            raise _foreign(output, "an unfinished import of another corpus is in it")
        return
    found = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if found not in ([], [BUILDING]) or (output / BUILDING / PLAN).exists():
        raise _foreign(output, f"something else is in it, such as {found[0]}")
    write_json(kept, manifest)


def _foreign(output: Path, value: str) -> InputError:
    return InputError(
        f"output {output}",
        value=value,
        expected="a new or empty folder, or one where this import was interrupted",
        remedy="Name another output=.",
    )


def _shards(source: Path, manifest: dict[str, Any]) -> list[ShardRows]:
    """Return the rows of each shard; raises InputError if they are not what the manifest says."""
    shards, start = [], 0
    names = recording_names(source, _BY_SHARD)
    described = {shard["file"]: shard for shard in manifest["shards"]}
    for file, rows in groupby(names):
        stop = start + sum(1 for _ in rows)
        about = described.pop(file, {})
        if about.get("samples") != stop - start:
            raise _not_exported(source, f"{stop - start} recordings of shard {file!r}")
        shards.append(ShardRows(file.removesuffix(".tar"), about.get("split", ""), start, stop))
        start = stop
    if described:
        raise _not_exported(source, f"no recordings of shard {min(described)}")
    return shards


def _build_missing(shards: Sequence[ShardRows], settings: ImportSettings, building: Path) -> None:
    missing = [shard for shard in shards if read_block(building, shard.name) is None]
    total, remaining = (sum(shard.stop - shard.start for shard in s) for s in (shards, missing))
    work = partial(build_shard, source=settings.source, folder=building)
    with (
        closing(map_tasks(work, missing, processes=settings.workers)) as finished,
        tqdm(total=total, initial=total - remaining, unit="rec", disable=None) as bar,
    ):
        for number in finished:
            bar.update(number)


def build_shard(shard: ShardRows, source: Path, folder: Path) -> int:
    """Write one shard; returns its number of recordings.

    Raises InputError for one that cannot be read, and where the disk does not take it.
    """
    rows = []
    with disk_errors_as_input_errors(folder.parent, shard.name):
        with ShardWriter(folder / f"{shard.name}.tar") as writer:
            for number in range(shard.start, shard.stop):
                fields = _fields(source, number)
                try:
                    sample = _sample(source, number, fields)
                    if sample.split != shard.split:
                        raise ValueError(f"split {sample.split!r} in a shard of {shard.split!r}")
                    rows.append(writer.add(encode_sample(sample, fields["codec"])))
                except InputError:
                    raise
                except _UNUSABLE as error:
                    raise _not_exported(source, f"recording {number}: {error!r}") from None
        about = {**writer.describe(), "split": shard.split}
        write_block(folder, shard.name, rows, Built(about, [], {}))
    return len(rows)


def _fields(source: Path, number: int) -> dict[str, Any]:
    text = bytes(read_array(source, METADATA, (number,), text=True).item())
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_exported(source, f"metadata of recording {number}: {error}") from None


def _sample(source: Path, number: int, fields: dict[str, Any]) -> Sample:
    """Return a recording with all that was known of it; raises InputError if it is not the same."""
    digital = read_hdf5(source, _LAYOUT, item=number, name=f"{number}").record.digital
    places = [lead_number(lead) for lead in fields["leads"]]
    stored = digital[places, : fields["samples"]].tobytes()
    written = {"codec": "npy", "crc32": zlib.crc32(stored)}
    sample = decode_sample({**fields, **written}, stored)
    if content_digest(sample.record) != fields["content"]:
        raise _not_exported(source, f"other samples in recording {number}")
    return sample


def _finish(
    settings: ImportSettings, shards: Sequence[ShardRows], manifest: dict[str, Any], started: float
) -> dict[str, Any]:
    """Put the shards in place, and write what makes them a corpus, the manifest last."""
    output, building = settings.output, settings.output / BUILDING
    listed = []
    for shard in shards:
        built = read_block(building, shard.name)
        assert built is not None
        tar = building / f"{shard.name}.tar"
        if tar.exists():
            tar.replace(output / tar.name)
        listed.append(built.shard)
    write_index(output / INDEX, _distinct(building, shards, settings.source))
    with open_whole(output / REJECTS) as file:
        file.write(_bytes(settings.source, REJECTS))
    names = ("splits", "rejects", "flags", "left_out", "record_without_label_row", "label_sets")
    found = {name: manifest.get(name, {}) for name in (*names, "dropped_signals")}
    seconds = round(time.monotonic() - started, 1)
    records = shards[-1].stop
    summary = run_summary(settings, records=records, **found, seconds=seconds)
    summary = write_checked_summary(output, summary)
    seal_manifest(output, manifest | {"index": describe_index(output), "shards": listed})
    return summary


def _distinct(
    building: Path, shards: Sequence[ShardRows], source: Path
) -> Iterator[dict[str, Any]]:
    keys: set[str] = set()
    for shard in shards:
        for row in read_block_rows(building, shard.name):
            if row["key"] in keys:
                raise _not_exported(source, f"two recordings {row['key']}")
            keys.add(row["key"])
            yield row


def _bytes(source: Path, name: str) -> bytes:
    """Return a file of the corpus that was exported."""
    content = read_array(source, name.partition(".")[0])
    return np.asarray(content, dtype=np.uint8).tobytes()


def _not_exported(source: Path, value: str) -> InputError:
    return InputError(
        f"file {source}",
        value=value,
        expected="a corpus as shards/main.py export writes it",
        remedy="Export the shards again, or copy the file again.",
    )
