"""Signals out of mapped shards: many recordings at once, at the speed of memory.

A recording is one slice of a memory map. One pass casts its integers into the batch, and what makes
millivolts of them follows while they are in the core's cache. Nothing else is done per recording.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from isal import isal_zlib

from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.index import Index
from lamae.storage.samples import decode_signal

_MOST_OPEN = 256
"""Shards that are kept open: fewer than the 1,024 files that many systems allow."""

_COPY_AGAIN = "The shard is damaged: copy or build it again."


Rows = np.ndarray | Sequence[int]
"""Row numbers, in any order."""


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

    def __init__(self, folder: Path, index: Index, sizes: Mapping[str, int]) -> None:
        """Read those of `index` from the shards in a folder that are keys of `sizes`."""
        self.folder = folder
        self._index = index
        self._sizes = sizes
        self._map = lru_cache(maxsize=_MOST_OPEN)(self._open)
        self._verified = np.zeros(len(index), dtype=bool)

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
        for _ in self._fill(found, batch, verify=verify):
            pass
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
        end = int(self._index.lead_ends[row])
        leads = slice(end - len(batch.leads), end)
        return Record(
            name=str(self._index.texts("name")[row]),
            digital=self.digital([row])[0],
            leads=batch.leads,
            sampling_rate=int(self._index.numbers("sampling_rate")[row]),
            gain=tuple(self._index.gains[leads].tolist()),
            baseline=tuple(self._index.baselines[leads].tolist()),
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
        return _Batch(rows.tolist(), tuple(leads.split(",")) if leads else (), int(samples[0]))

    def scales(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return gain and baseline of rows with the same leads, float32 (rows, leads) each."""
        leads = int(self._index.lead_counts[rows[0]])
        places = (self._index.lead_ends[rows] - leads)[:, None] + np.arange(leads)
        tables = (self._index.gains, self._index.baselines)
        gain, baseline = (table[places].astype(np.float32) for table in tables)
        return gain, baseline

    def _scales(self, batch: _Batch) -> tuple[np.ndarray, np.ndarray | None]:
        """Return millivolts per unit, float32 (rows, leads, 1) or, where leads agree, (rows,).

        And the baseline, (rows, leads, 1), or None where it is zero.
        """
        gain, baseline = (values[..., None] for values in self.scales(np.asarray(batch.rows)))
        if batch.leads and (gain == gain[:, :1]).all():
            gain = gain[:, 0, 0]
        return np.float32(1) / gain, baseline if baseline.any() else None

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

    def _open(self, shard: str) -> mmap.mmap:
        path = self.folder / shard
        try:
            if shard not in self._sizes:
                raise ValueError("not a shard of the manifest")
            with path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file, too
            raise InputError(
                f"shard {path}",
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
        raise InputError(
            f"sample {self._key(row)}", value=value, expected=expected, remedy=_COPY_AGAIN
        )


def _room(shape: tuple[int, ...], dtype: np.dtype, out: np.ndarray | None) -> np.ndarray:
    """Return `out`, or a new array where it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if (out.shape, out.dtype) != (shape, dtype) or not out.flags.c_contiguous:
        raise ValueError(f"out: expected {dtype} {shape} in C order, not {out.dtype} {out.shape}")
    return out
