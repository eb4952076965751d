"""A block: the recordings of one shard, built by one process and whole on disk or not at all.

Which recordings are in a block depends on the source and the settings alone, so blocks can be
built in any order, by any number of processes on any number of machines, and built again.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamae.faults import fault
from lamae.files import open_whole, write_json
from lamae.storage.corpus import write_index
from lamae.storage.samples import SPLITS
from shards.build.encode import process_entry
from shards.build.writer import ShardWriter
from shards.entries import Entry, Reject, entries_of
from shards.identity import key_from_environment, reject_without_identity
from shards.locks import lock
from shards.settings import ShardsSettings

_ROWS_AT_ONCE = 2**13


class Block(NamedTuple):
    """The recordings of one shard."""

    name: str
    """Name of the shard, without extension."""
    split: str
    """The split that all of them belong to."""
    entries: tuple[Entry, ...]
    """In the order in which they are written."""


class PlannedBlock(NamedTuple):
    """A block whose recordings are in the entries of its split, on disk."""

    name: str
    """Name of the shard, without extension."""
    split: str
    """The split that all of them belong to."""
    start: int
    """The first of them."""
    records: int
    """Number of them."""

    def read(self, folder: Path) -> Block:
        """Read its recordings, and few others, from the folder of unfinished shards."""
        table = read_rows(folder / _entries_of(self.split), self.start, self.records)
        return Block(self.name, self.split, tuple(entries_of(table)))


class Built(NamedTuple):
    """Facts of a block that has been built; its rows are beside it."""

    shard: dict[str, Any] | None
    """File, split, samples, bytes and sha256 of the tar; None if no recording was usable."""
    rejects: list[Reject]
    """Recordings that were refused."""
    dropped: dict[str, int]
    """Times that each signal that is no standard lead was left out."""


def plan_blocks(splits: np.ndarray, shard_records: int) -> list[PlannedBlock]:
    """Divide the recordings of each split, in order, into blocks of `shard_records`.

    `splits` is for each recording the place in SPLITS, or -1.
    """
    blocks = []
    for code, split in enumerate(SPLITS):
        total = int(np.count_nonzero(splits == code))
        for number, start in enumerate(range(0, total, shard_records)):
            records = min(shard_records, total - start)
            blocks.append(PlannedBlock(f"{split}-{number:06d}", split, start, records))
    return blocks


def write_entries(folder: Path, table: pa.Table, splits: np.ndarray) -> None:
    """Write the entries of each split, from which a block reads its own."""
    for code, split in enumerate(SPLITS):
        with (
            open_whole(folder / _entries_of(split)) as file,
            pq.ParquetWriter(file, table.schema) as writer,
        ):
            for start in range(0, len(table), _ROWS_AT_ONCE):
                chosen = pa.array(splits[start : start + _ROWS_AT_ONCE] == code)
                writer.write_table(table.slice(start, _ROWS_AT_ONCE).filter(chosen))


def _entries_of(split: str) -> str:
    return f"entries-{split}.parquet"


def read_rows(path: Path, start: int, count: int) -> pa.Table:
    """Read some rows that follow each other."""
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        first, last = np.searchsorted(ends, [start, start + count - 1], side="right")
        table = file.read_row_groups(range(first, last + 1))
    return table.slice(start - int(ends[first] - sizes[first]), count)


@contextmanager
def disk_errors_as_input_errors(output: Path, name: str) -> Iterator[None]:
    """Raise InputError where the disk does not take what is written of `name`."""
    try:
        yield
    except ChildProcessError:  # a subclass of OSError that has nothing to do with the disk
        raise
    except OSError as error:
        afterwards = "give the same command: it goes on with what is finished"
        doing = f"while writing {name}"
        raise fault(error, f"output {output}", afterwards=afterwards, doing=doing) from error


@contextmanager
def exclusive_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` in a folder of unfinished shards; waits while another process does.

    That can be a run of another number of parts, or what is left for a moment of a killed one.
    """
    with lock(folder / f"{name}.lock", wait=True):
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
