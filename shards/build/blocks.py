"""A block: the recordings of one shard, built by one process and whole on disk or not at all.

Which recordings are in a block depends on the source and the settings alone, so blocks can be
built in any order, by any number of processes on any number of machines, and built again.
"""

import fcntl
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from lamae.errors import InputError
from lamae.files import write_json
from lamae.storage.corpus import write_index
from lamae.storage.samples import SPLITS
from shards.build.encode import process_entry
from shards.build.writer import ShardWriter
from shards.entries import Entry, Reject
from shards.identity import key_from_environment, reject_without_identity
from shards.settings import ShardsSettings


class Block(NamedTuple):
    """The recordings of one shard."""

    name: str
    """Name of the shard, without extension."""
    split: str
    """The split that all of them belong to."""
    entries: tuple[Entry, ...]
    """In the order in which they are written."""


class Built(NamedTuple):
    """Facts of a block that has been built; its rows are beside it."""

    shard: dict[str, Any] | None
    """File, split, samples, bytes and sha256 of the tar; None if no recording was usable."""
    rejects: list[Reject]
    """Recordings that were refused."""
    dropped: dict[str, int]
    """Times that each signal that is no standard lead was left out."""


def plan_blocks(
    entries: Sequence[Entry], splits: Sequence[str | None], shard_records: int
) -> list[Block]:
    """Divide the entries of each split, in order, into blocks of `shard_records`."""
    blocks = []
    for split in SPLITS:
        chosen = (entry for entry, own in zip(entries, splits, strict=True) if own == split)
        number = 0
        while some := tuple(islice(chosen, shard_records)):
            blocks.append(Block(f"{split}-{number:06d}", split, some))
            number += 1
    return blocks


@contextmanager
def disk_errors_as_input_errors(output: Path, name: str) -> Iterator[None]:
    """Raise InputError where the disk does not take what is written of `name`."""
    try:
        yield
    except ChildProcessError:  # a subclass of OSError that has nothing to do with the disk
        raise
    except OSError as error:
        raise InputError(
            f"output {output}",
            value=f"{error.strerror or error} while writing {name}",
            expected="room and permission to write",
            remedy="Make room, then give the same command: it goes on with what is finished.",
        ) from error


@contextmanager
def exclusive_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` in a folder of unfinished shards; waits while another process does.

    That can be a run of another number of parts, or what is left for a moment of a killed one.
    """
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_block(block: Block, settings: ShardsSettings, folder: Path) -> None:
    """Read, encode and write the recordings of a block."""
    rows, rejects, dropped = [], [], Counter[str]()
    with ShardWriter(folder / f"{block.name}.tar") as writer:
        for entry in block.entries:
            outcome = process_entry(entry, block.split, settings)
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                rows.append(writer.add(outcome))
                dropped.update(outcome.dropped)
    if settings.hash_ids:
        key = key_from_environment()
        rejects = [reject_without_identity(reject, key) for reject in rejects]
    shard = {**writer.describe(), "split": block.split} if rows else None
    write_block(folder, block.name, rows, Built(shard, rejects, dict(dropped)))


def write_block(folder: Path, name: str, rows: Sequence[dict[str, Any]], built: Built) -> None:
    """Write the rows of a block, then what marks it as finished."""
    write_index(folder / f"{name}.parquet", rows)
    write_json(folder / f"{name}.json", built._asdict())


def read_block(folder: Path, name: str) -> Built | None:
    """Return what a finished block consists of, or None if it has not been finished."""
    try:
        found = json.loads((folder / f"{name}.json").read_text())
    except FileNotFoundError:
        return None
    return Built(found["shard"], [Reject(*reject) for reject in found["rejects"]], found["dropped"])


def read_block_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the index rows of a finished block."""
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return rows
