"""The same recording twice, in a source or in known corpora, found by content or origin."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.storage.corpus import INDEX
from lamae.storage.samples import decode_sample
from shards.build.blocks import Built, exclusive_lock, read_block, read_block_rows, write_block
from shards.build.encode import encode_sample
from shards.build.writer import ShardWriter
from shards.entries import Reject
from shards.repeated import repeated
from shards.settings import ShardsSettings

REASON = "duplicate"

_COLUMNS = ("key", "source", "content", "origin", "flags")
_ROWS_AT_ONCE = 2**12

_Row = Mapping[str, Any]


def settle_duplicates(building: Path, names: Sequence[str], settings: ShardsSettings) -> None:
    """Reject or flag, as the settings say, what equals an earlier recording or a known one.

    A block that holds some is written again, or is left unfinished where that is interrupted.
    """
    if settings.duplicates == "keep":
        return
    known = [folder / INDEX for folder in settings.known]
    blocks = [building / f"{name}.parquet" for name in names]
    twice = repeated(lambda: _all_marks([*known, *blocks]))
    if not twice:
        return
    seen = _known(settings, twice)
    for name in names:
        found: dict[str, str] = {}
        for row in _rows(building / f"{name}.parquet", twice):
            marks = _marks(row)
            other = next((seen[mark] for mark in marks if mark in seen), None)
            if other is not None and REASON not in row["flags"]:
                found[row["key"]] = other
            for mark in marks:
                seen.setdefault(mark, row["key"])
        if found:
            with exclusive_lock(building, name):
                _write_again(building, name, found, settings)


def _known(settings: ShardsSettings, twice: Set[str]) -> dict[str, str]:
    """Return the recordings of known corpora by their marks, of those that come more than once."""
    seen: dict[str, str] = {}
    for folder in settings.known:
        for row in _rows(folder / INDEX, twice):
            one = "one" if settings.hash_ids else row["key"]  # it need not have hashed ids
            for mark in _marks(row):
                seen.setdefault(mark, f"{one} of {folder.name}")
    return seen


def _all_marks(paths: Iterable[Path]) -> Iterator[str]:
    """Yield what the recordings of some indexes share with their copies."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["content", "origin"]):
                yield from batch["content"].to_pylist()
                yield from filter(None, batch["origin"].to_pylist())


def _rows(path: Path, twice: Set[str]) -> Iterator[_Row]:
    """Yield the rows of an index that have a mark that comes more than once."""
    marks = pa.array(sorted(twice))
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS)):
            copies = pc.or_(pc.is_in(batch["content"], marks), pc.is_in(batch["origin"], marks))
            yield from batch.filter(copies).to_pylist()


def _marks(row: _Row) -> list[str]:
    """Return what a recording shares with its copies."""
    return [row["content"], *([row["origin"]] if row["origin"] else [])]


def _write_again(
    building: Path, name: str, found: Mapping[str, str], settings: ShardsSettings
) -> None:
    """Write a block without the recordings found, or with a flag on each."""
    built, rows = read_block(building, name), read_block_rows(building, name)
    assert built is not None and built.shard is not None
    path = building / f"{name}.tar"
    (building / f"{name}.json").unlink()  # from here to the end, the block is unfinished
    kept, rejects = [], list(built.rejects)
    with (
        path.open("rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as old,
        ShardWriter(path) as writer,
    ):
        for row in rows:
            sample = decode_sample(row, old[row["offset"] : row["offset"] + row["bytes"]])
            if row["key"] in found:
                message = f"the same recording as {found[row['key']]}"
                if settings.duplicates == "reject":
                    rejects.append(Reject(sample.source or sample.key, REASON, message))
                    continue
                notes = (*sample.notes, f"{message[0].upper()}{message[1:]}.")
                sample = replace(sample, flags=(*sample.flags, REASON), notes=notes)
            kept.append(writer.add(encode_sample(sample, settings.codec)))
    shard = {**writer.describe(), "split": built.shard["split"]} if kept else None
    write_block(building, name, kept, Built(shard, rejects, built.dropped))
