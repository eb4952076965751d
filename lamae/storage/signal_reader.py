"""Signals out of mapped shards: many recordings at once, at the speed of memory.

A recording is one slice of a memory map. One pass casts its integers into the batch, and what makes
millivolts of them follows while they are in the core's cache. Nothing else is done per recording.
"""

import mmap
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from isal import isal_zlib

from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.codec import stated_bytes
from lamae.storage.index import Index
from lamae.storage.place import Place
from lamae.storage.samples import decode_signal

_MOST_OPEN = 256
"""Shards that are kept open: fewer than the 1,024 files that many systems allow."""

_COPY_AGAIN = "The shard is damaged: copy or build it again."


Rows = np.ndarray | Sequence[int]
"""Row numbers, in any order."""


class _GoneError(InputError):
    """A shard was damaged in its cache, and is fetched again when it is read again."""


class _Batch(NamedTuple):
    """Rows of one shape."""

    rows: list[int]
    leads: tuple[str, ...]
    samples: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.rows), len(self.leads), self.samples


class SignalReader:
    """The signals of a corpus by row."""

    def __init__(self, place: Place, index: Index) -> None:
        """Read those of `index` from the shards that the place's manifest names."""
        self.location = place.location
        """The folder or URL of the shards."""
        self._place = place
        self._index = index
        self._sizes = {shard["file"]: shard["bytes"] for shard in place.manifest["shards"]}
        self._map = lru_cache(maxsize=self._most_open())(self._open)
        self._verified = np.zeros(len(index), dtype=bool)

    @property
    def folder(self) -> Path:
        """The folder of the shards; raises InputError where they are at a URL."""
        if isinstance(self.location, Path):
            return self.location
        raise InputError(
            f"shards {self.location}",
            value="a URL",
            expected="a folder of this machine",
            remedy="Copy the shards to one.",
        )

    def digital(
        self, rows: Rows, out: np.ndarray | None = None, *, verify: bool = True
    ) -> np.ndarray:
        """Read recordings of equal shape: int16 (rows, leads, samples).

        Args:
            rows: their row numbers, in any order.
            out: int16 (rows, leads, samples) to fill and return; None for a new array.
            verify: whether to compare each, the first time that it is read, with its checksum.

        Raises InputError for rows that differ in their leads or samples, and for the first one
        whose bytes are not those written.
        """
        batch = self._batch(np.asarray(rows))
        found = _room(batch.shape, np.dtype(np.int16), out)
        try:
            self._read(found, batch, verify=verify)
        except _GoneError:
            self._read(found, batch, verify=verify)
        return found

    def signals_mv(
        self, rows: Rows, out: np.ndarray | None = None, *, verify: bool = True
    ) -> np.ndarray:
        """Read recordings in millivolts, NaN where a sample is missing; arguments as of `digital`.

        Returns float32 (rows, leads, samples); `Record.signal_mv` differs by their last bit.
        """
        batch = self._batch(np.asarray(rows))
        found = _room(batch.shape, np.dtype(np.float32), out)
        mv_per_unit, baseline = self._scales(batch)
        missing = self._index.numbers("missing_samples")[batch.rows] > 0
        for number, digital in enumerate(self._fill(found, batch, verify=verify)):
            signal = found[number]
            if baseline is not None:
                signal -= baseline[number]
            signal *= mv_per_unit[number]  # by far faster than to divide by the gain
            if missing[number]:
                signal[digital == MISSING] = np.nan
        return found

    def record(self, row: int) -> Record:
        """Read one recording, without its comments and the other statements of its source.

        Raises InputError where its bytes are not those written.
        """
        batch = self._batch(np.array([row]))
        gain, baseline = (each[0].tolist() for each in self._index.scales(np.array([row])))
        return Record(
            name=str(self._index.texts("name")[row]),
            digital=self.digital([row])[0],
            leads=batch.leads,
            sampling_rate=int(self._index.numbers("sampling_rate")[row]),
            gain=tuple(gain),
            baseline=tuple(baseline),
        )

    def stored(self, row: int) -> memoryview:
        """Return the stored bytes of one recording, unverified."""
        return next(self._stored([row]))

    def _batch(self, rows: np.ndarray) -> _Batch:
        """Raise InputError for rows that differ in their leads or samples."""
        if not len(rows):
            raise ValueError("no rows to read")
        sets = self._index.lead_sets
        samples, codes = self._index.numbers("samples")[rows], sets.codes[rows]
        other = np.flatnonzero((samples != samples[0]) | (codes != codes[0]))
        if len(other):
            first, second = (
                f"sample {self._key(int(rows[place]))} has {samples[place]} samples "
                f"of leads {sets.names[codes[place]]}"
                for place in (0, int(other[0]))
            )
            raise InputError(
                "rows to read as one array",
                value=f"{first}; {second}",
                expected="the same leads and number of samples",
                remedy="Read rows of different shapes one by one.",
            )
        leads = sets.names[codes[0]]
        batch = _Batch(rows.tolist(), tuple(leads.split(",")) if leads else (), int(samples[0]))
        self._check_size(batch)
        return batch

    def _check_size(self, batch: _Batch) -> None:
        """Raise InputError, before room is made, where a payload is of another size.

        Of compressed ones it is the first, whose header tells.
        """
        codecs, size = self._index.categories("codec"), 2 * len(batch.leads) * batch.samples
        rows = np.asarray(batch.rows)
        for code, name in enumerate(codecs.names):
            own = rows[codecs.codes[rows] == code]
            if name == "npy":
                found = self._index.numbers("bytes")[own]
            else:
                found = np.array([stated_bytes(self.stored(row)) for row in own[:1].tolist()])
            wrong = np.flatnonzero(found != size)
            if len(wrong):
                value = f"cannot be decoded: {found[wrong[0]]} bytes of samples"
                self._refuse(int(own[wrong[0]]), value, str(size))

    def scales(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return gain and baseline of rows with the same leads, float32 (rows, leads) each."""
        gain, baseline = self._index.scales(np.asarray(rows))
        return gain.astype(np.float32), baseline.astype(np.float32)

    def _scales(self, batch: _Batch) -> tuple[np.ndarray, np.ndarray | None]:
        """Return millivolts per unit, float32 (rows, leads, 1) or, where leads agree, (rows,).

        And the baseline, (rows, leads, 1), or None where it is zero.
        """
        gain, baseline = (values[..., None] for values in self.scales(np.asarray(batch.rows)))
        if batch.leads and (gain == gain[:, :1]).all():
            gain = gain[:, 0, 0]
        return np.float32(1) / gain, baseline if baseline.any() else None

    def _read(self, out: np.ndarray, batch: _Batch, *, verify: bool) -> None:
        for _ in self._fill(out, batch, verify=verify):
            pass

    def _fill(self, out: np.ndarray, batch: _Batch, *, verify: bool) -> Iterator[np.ndarray]:
        """Cast the integers of each row into `out`; yields them, good until the next are."""
        buffer = np.empty(batch.shape[1:], dtype=np.int16)
        codecs, checksums = self._index.categories("codec"), self._index.numbers("crc32")
        for place, row, stored in zip(out, batch.rows, self._stored(batch.rows), strict=True):
            codec = codecs.names[codecs.codes[row]]
            unverified = verify and not self._verified[row]
            if unverified and codec == "ecg":
                self._check(row, stored, checksums)
            decoded_to = place if out.dtype == np.int16 else buffer
            digital = self._decode(row, stored, codec, batch, decoded_to)
            if digital is not place:
                np.copyto(place, digital)
            if unverified and codec != "ecg":  # what was just copied is read again in no time
                self._check(row, stored, checksums)
            yield digital

    def _stored(self, rows: list[int]) -> Iterator[memoryview]:
        shards = self._index.categories("shard")
        starts, lengths = (self._index.numbers(name)[rows].tolist() for name in ("offset", "bytes"))
        codes = shards.codes[rows].tolist()
        for row, code, start, length in zip(rows, codes, starts, lengths, strict=True):
            content = self._map(shards.names[code])
            end, size = start + length, min(len(content), content.size())
            if not 0 <= start <= end <= size:  # a map kills the process that reads behind its file
                self._refuse(row, f"bytes {start} to {end} of a shard of {size}", "bytes within it")
            yield memoryview(content)[start:end]

    def _most_open(self) -> int:
        """Return how many shards may stay mapped."""
        held, largest = self._place.max_held_bytes, max([1, *self._sizes.values()])
        return _MOST_OPEN if held is None else min(_MOST_OPEN, max(1, held // largest))

    def _open(self, shard: str) -> mmap.mmap:
        try:
            if shard not in self._sizes:
                raise ValueError("not a shard of the manifest")
            with self._place.open(shard) as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except InputError:
            raise
        except (OSError, ValueError) as error:  # ValueError: an empty file, too
            raise InputError(
                f"shard {self.location}/{shard}",
                value=str(error),
                expected="a shard of the manifest that can be read",
                remedy=_COPY_AGAIN,
            ) from None

    def _decode(
        self, row: int, stored: memoryview, codec: str, batch: _Batch, out: np.ndarray
    ) -> np.ndarray:
        try:
            return decode_signal(
                stored, codec=codec, leads=batch.leads, samples=batch.samples, out=out
            )
        except InputError as error:
            self._refuse(row, f"cannot be decoded: {error}", "what was written")

    def _check(self, row: int, stored: memoryview, checksums: np.ndarray) -> None:
        if (found := isal_zlib.crc32(stored)) != checksums[row]:
            self._refuse(row, f"checksum {found:08x}", f"{checksums[row]:08x}, as written")
        self._verified[row] = True

    def _key(self, row: int) -> str:
        return str(self._index.texts("key")[row])

    def _refuse(self, row: int, value: str, expected: str) -> NoReturn:
        shards = self._index.categories("shard")
        is_gone = self._place.discard_damaged(shards.names[shards.codes[row]])
        if is_gone:
            self._map.cache_clear()
        kind = _GoneError if is_gone else InputError
        raise kind(f"sample {self._key(row)}", value=value, expected=expected, remedy=_COPY_AGAIN)


def _room(shape: tuple[int, ...], dtype: np.dtype, out: np.ndarray | None) -> np.ndarray:
    """Return `out`, or a new array where it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if (out.shape, out.dtype) != (shape, dtype) or not out.flags.c_contiguous:
        raise ValueError(f"out: expected {dtype} {shape} in C order, not {out.dtype} {out.shape}")
    return out
