"""One shard is held against its row of the manifest, its rows of the index, and itself."""

import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamae.storage.corpus import INDEX
from lamae.storage.samples import Codec, decode_metadata, decode_sample, encode_metadata, metadata
from shards.verify.tar import BLOCK, DigestingReader, Gap, Member, walk

_NAME = re.compile(rf"([A-Za-z0-9_-]+)\.({'|'.join(get_args(Codec))}|json)")
_PLACE = ("shard", "offset", "bytes", "crc32")
_NOT_A_SAMPLE = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""Errors that decoding may raise for metadata that nothing vouches for."""

Row = Mapping[str, Any]


class Problem(NamedTuple):
    """One thing that is wrong with a corpus."""

    file: str
    """File of the corpus that it was found in."""
    what: str
    """Fault."""
    keys: tuple[str, ...] = ()
    """Samples that it affects, where these are known."""


class ExpectedShard(NamedTuple):
    """Facts of a shard that are known before it is read; None for an unknown one."""

    file: str
    """Name of the tar."""
    split: str | None = None
    """Split of all of its samples."""
    samples: int | None = None
    """Number of its samples."""
    bytes: int | None = None
    """Its size."""
    sha256: str | None = None
    """Its checksum."""
    row_groups: tuple[int, ...] | None = None
    """Row groups of the index that have rows of it; None where the index cannot be used."""


class CheckedShard(NamedTuple):
    """Findings in a shard."""

    file: str
    """Name of the tar."""
    sha256: str
    """SHA-256 of what could be read; empty for a file that could not be opened."""
    bytes: int
    """Bytes that were read."""
    samples: int
    """Samples that the index has of it; without an index, those that were found."""
    intact: int
    """Samples without any problem."""
    problems: tuple[Problem, ...]
    """Faults of it."""


class _Shard:
    """The state of one check: what was found of the samples, and what is wrong."""

    def __init__(self, expected: ExpectedShard, rows: Sequence[Row] | None) -> None:
        self.expected = expected
        self.rows = None if rows is None else {row["key"]: row for row in rows}
        self.found: set[str] = set()
        self.affected: set[str] = set()
        self.wrong: dict[str, dict[str, None]] = defaultdict(dict)
        self._signal: Member | None = None
        """A signal whose JSON member has not come yet."""
        self._ended = False

    def report(self, what: str, *keys: str) -> None:
        """Note a problem; what is found of several samples is one problem."""
        self.wrong[what].update(dict.fromkeys(keys))
        self.affected.update(keys)

    def take(self, piece: Member | Gap) -> None:
        """Check the next piece of the tar."""
        if isinstance(piece, Gap):
            self._take_gap(piece)
            return
        match = _NAME.fullmatch(piece.name)
        if match is None or not piece.is_file:
            self.report(f"member {piece.name!r} belongs to no sample")
            return
        key, extension = match.groups()
        if any(piece.padding):
            self.report("what fills its last block in the tar is not zero", key)
        if extension != "json":
            self._settle()
            self._signal = piece
        elif self._signal is None or not self._signal.name.startswith(f"{key}."):
            self._settle()
            self.report("metadata without a signal before it", key)
        else:
            signal, self._signal = self._signal, None
            self._check_sample(key, signal, piece)

    def finish(self, reader: DigestingReader) -> None:
        """Check what can be told once all has been read."""
        self._settle()
        if not self._ended:
            self.report("it does not end as a tar does")
        expected, size = self.expected, reader.position
        if expected.bytes not in (None, size):
            self.report(f"{size} bytes, where the manifest says {expected.bytes}")
        if expected.sha256 not in (None, reader.hexdigest()):
            self.report("its SHA-256 is not the manifest's")
        samples = len(self.found) if self.rows is None else len(self.rows)
        if expected.samples not in (None, samples):
            source = "found" if self.rows is None else "in the index"
            self.report(f"{samples} samples {source}, where the manifest says {expected.samples}")
        self.report_lost(size)

    def report_lost(self, size: int) -> None:
        """Report the samples that the index promises and a tar of `size` bytes does not hold."""
        known = self.found | self.affected
        for key, row in (self.rows or {}).items():
            if row["offset"] < 0 or row["offset"] + row["bytes"] > size:
                self.report("lost: the index points behind the end of the tar", key)
            elif key not in known:
                self.report("lost: in the index, and not in the tar", key)

    def _settle(self) -> None:
        """Report a signal whose JSON member did not follow."""
        if self._signal is not None:
            self.report("signal without metadata behind it", self._signal.name.rpartition(".")[0])
            self._signal = None

    def _take_gap(self, gap: Gap) -> None:
        if gap.is_end_of_tar:
            self._ended = True
            return
        keys = [key for key, row in (self.rows or {}).items() if _overlaps(row, gap)]
        if self._signal is not None:  # what should have followed is in the gap
            keys.append(self._signal.name.rpartition(".")[0])
            self._signal = None
        kind = "zeros" if gap.zeros else "bytes"
        self.report(f"{gap.end - gap.start} {kind} at {gap.start} are no member of a tar", *keys)

    def _check_sample(self, key: str, signal: Member, about: Member) -> None:
        if key in self.found:
            self.report("twice in the tar", key)
        self.found.add(key)
        if self.rows is None:
            fields = _parsed(about.content)
            if fields.get("key") != key:
                self.report("metadata that cannot be read, or of another sample", key)
                return
            row: Row = fields
        elif key not in self.rows:
            self.report("not in the index", key)
            return
        else:
            row = self.rows[key]
            fields = fields_of(row)
            if about.content != encode_metadata(fields):
                self.report("metadata in the tar is not the index's", key)
        if self.expected.split not in (None, row.get("split")):
            self.report(f"not of split {self.expected.split}, as the manifest says", key)
        self._check_signal(key, signal, row, fields)

    def _check_signal(self, key: str, signal: Member, row: Row, fields: dict[str, Any]) -> None:
        codec: Any = signal.name.rpartition(".")[2]
        try:
            header = len(signal.content) - _stored_bytes(signal.content, codec, fields)
            stored = memoryview(signal.content)[header:]
            crc32 = zlib.crc32(stored)
            again = metadata(decode_sample({**fields, "crc32": crc32}, stored), codec)
        except _NOT_A_SAMPLE:
            self.report("the signal cannot be decoded", key)
            return
        if codec == "npy" and not _is_numpy_header(signal.content[:header], fields):
            self.report("the numpy header of the signal is not as written", key)
        if self.rows is not None:
            if (row["offset"], row["bytes"]) != (signal.start + BLOCK + header, len(stored)):
                self.report("the index points elsewhere", key)
            if row["crc32"] != crc32:
                self.report("the CRC-32 of the signal is not the index's", key)
        differing = [name for name in again if again[name] != fields.get(name)]
        if differing:
            self.report(f"the signal has another {', '.join(differing)} than stated", key)


def check_shard(expected: ExpectedShard, folder: Path) -> CheckedShard:
    """Read a shard once, from its start to its end, and check every byte and sample of it.

    Args:
        expected: what the manifest and the index say of it.
        folder: the corpus.

    It raises nothing, whatever the shard holds.
    """
    path = folder / expected.file
    groups = expected.row_groups
    shard = _Shard(expected, None if groups is None else read_rows(folder, expected.file, groups))
    reader = None
    try:
        with path.open("rb") as file:
            reader = DigestingReader(file, path.stat().st_size)
            for piece in walk(reader):
                shard.take(piece)
    except OSError as error:
        shard.report(f"cannot be read: {error.strerror or error}")
    if reader is None:
        shard.report_lost(0)
    else:
        shard.finish(reader)
    promised = shard.found if shard.rows is None else set(shard.rows)
    return CheckedShard(
        file=expected.file,
        sha256=reader.hexdigest() if reader else "",
        bytes=reader.position if reader else 0,
        samples=len(promised),
        intact=len((promised & shard.found) - shard.affected),
        problems=tuple(Problem(expected.file, what, tuple(k)) for what, k in shard.wrong.items()),
    )


def read_rows(folder: Path, shard: str, row_groups: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows that the index has of a shard in some row groups, by their offsets."""
    with pq.ParquetFile(folder / INDEX) as file:
        table = file.read_row_groups(list(row_groups)).filter(pc.field("shard") == shard)
    rows: list[dict[str, Any]] = table.sort_by("offset").to_pylist()
    return rows


def fields_of(row: Row) -> dict[str, Any]:
    """Return a row of the index without its place: what `<key>.json` holds."""
    fields = {name: value for name, value in row.items() if name not in _PLACE}
    return {**fields, "labels": dict(row["labels"]), "about": dict(row["about"])}


def _overlaps(row: Row, gap: Gap) -> bool:
    """Return True where a sample, from its first header to its last padding, touches a gap."""
    start = row["offset"] // BLOCK * BLOCK - BLOCK  # a header of numpy's is within the first block
    about = len(encode_metadata(fields_of(row)))
    end = _padded(row["offset"] + row["bytes"]) + BLOCK + _padded(about)
    return bool(start < gap.end and gap.start < end)


def _padded(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


def _parsed(content: bytes) -> dict[str, Any]:
    """Read a JSON member that nothing vouches for; empty where it is none of ours."""
    try:
        fields = decode_metadata(content)
        return fields if encode_metadata(fields) == content else {}
    except (ValueError, RecursionError):
        return {}


def _stored_bytes(content: bytes, codec: str, fields: Row) -> int:
    return 2 * len(fields["leads"]) * fields["samples"] if codec == "npy" else len(content)


def _is_numpy_header(header: bytes, fields: Row) -> bool:
    """Return True where every byte is that of numpy's format 1.0 for this array."""
    shape = f"({len(fields['leads'])}, {fields['samples']})"
    text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    start, length, body = header[:8], int.from_bytes(header[8:10], "little"), header[10:]
    written = text.encode().ljust(length - 1) + b"\n"
    return start == b"\x93NUMPY\x01\x00" and body == written
