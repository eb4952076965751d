"""A corpus as one HDF5 file, from which shards/hdf5/import_file.py makes the same corpus again.

`signals` is int16 (recordings, 12 leads, longest), a chunk for each recording, where a lead that a
recording lacks and what is beyond its end hold -32768; (signals - baseline) / gain is millivolts.
Beside it are a row for each recording in `key`, `patient_id`, `split`, `sampling_rate`, `samples`,
`gain`, `baseline`, and all else in `metadata`, as JSON. `shard`, `manifest` and `rejects` are for
the way back.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from lamae.ecg.leads import LEADS, lead_number
from lamae.ecg.record import MISSING
from lamae.errors import InputError
from lamae.faults import fault
from lamae.files import open_whole, refuse_existing
from lamae.readers.arrays.hdf5_files import MAX_COMPRESSION
from lamae.storage.corpus import INDEX, MANIFEST, Corpus
from shards.hdf5.settings import ExportSettings
from shards.hdf5.sink import Sink
from shards.rejects import REJECTS

EXPORT_FORMAT = "lamae-hdf5-1"
"""Attribute `format` of the file."""
SIGNALS = "signals"
METADATA = "metadata"
TEXTS = ("key", "patient_id", "split", "shard")
"""Columns of an index that are datasets of UTF-8 text, each of one width."""
NUMBERS = ("sampling_rate", "samples")
"""Columns of an index that are datasets of integers."""

_PLACE = ("offset", "bytes", "crc32")
_CHUNK_SAMPLES = 2**20
_CHUNK_TEXT_BYTES = 2**24
_ROWS = 1024
_WELL_FILLED = MAX_COMPRESSION // 4  # texts of 4:1 are then within what a reader believes

_Row = dict[str, Any]


class _Extent(NamedTuple):
    """Room that the datasets of a file must have."""

    rows: int
    longest: int
    """Samples of the longest recording."""
    signal_bytes: int
    """Of all recordings, without what fills their rows."""
    metadata_bytes: int
    widths: dict[str, int]
    """Bytes of the longest text of each dataset of texts."""


def export_shards(settings: ExportSettings) -> dict[str, Any]:
    """Write the file, whole or not at all; returns what is in it.

    Raises InputError for shards that cannot be read, a file that exists or cannot be written, and
    for recordings of such different lengths that the file would be nothing but padding.
    """
    path = settings.output
    refuse_existing(path, kind="file")
    corpus = Corpus(settings.data)
    extent = _measure(settings.data)
    _refuse_padding(extent, extent.signal_bytes)
    try:
        with open_whole(path) as file, Sink(file.name) as sink, h5py.File(sink, "w") as h5:
            _create(h5, extent)
            for name in (MANIFEST, REJECTS):
                content = np.frombuffer((settings.data / name).read_bytes(), dtype=np.uint8)
                h5[name.partition(".")[0]] = content
            for _ in _fill(h5, corpus, settings.data, extent):
                sink.check()
            _refuse_padding(extent, h5[SIGNALS].id.get_storage_size())
    except OSError as error:
        raise fault(error, f"output {path}", afterwards="start again") from error
    size = path.stat().st_size
    return {"records": extent.rows, "longest": extent.longest, "bytes": size, "file": str(path)}


def metadata_text(row: Mapping[str, Any]) -> bytes:
    """Return all of a row of the index but its place in a shard, as UTF-8 JSON."""
    maps = {name: dict(row[name] or ()) for name in ("labels", "about")}
    fields = {name: value for name, value in row.items() if name not in _PLACE}
    return json.dumps(fields | maps, ensure_ascii=False).encode()


def _rows(folder: Path) -> Iterator[list[_Row]]:
    with pq.ParquetFile(folder / INDEX) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            yield batch.to_pylist()


def _measure(folder: Path) -> _Extent:
    rows = longest = signal_bytes = metadata_bytes = 0
    widths = dict.fromkeys((*TEXTS, METADATA), 1)
    for batch in _rows(folder):
        for row in batch:
            rows, longest = rows + 1, max(longest, row["samples"])
            signal_bytes += 2 * len(row["leads"]) * row["samples"]
            texts = {name: row[name].encode() for name in TEXTS} | {METADATA: metadata_text(row)}
            metadata_bytes += len(texts[METADATA])
            for name, text in texts.items():
                widths[name] = max(widths[name], len(text))
    return _Extent(rows, longest, signal_bytes, metadata_bytes, widths)


def _refuse_padding(extent: _Extent, stored: int) -> None:
    """Raise InputError for what shards/hdf5/import_file.py would take for a bomb."""
    claimed = 2 * extent.rows * len(LEADS) * extent.longest
    if claimed > MAX_COMPRESSION * stored:
        raise InputError(
            f"recordings of up to {extent.longest} samples",
            value=f"{claimed} bytes in rows of that length, of which {stored} are stored",
            expected=f"at most {MAX_COMPRESSION} times as many",
            remedy="Build shards of short and of long recordings, and export each.",
        )


def _create(h5: h5py.File, extent: _Extent) -> None:
    rows, leads = extent.rows, len(LEADS)
    h5.attrs["format"] = EXPORT_FORMAT
    packed = {"compression": "gzip", "shuffle": True}
    signals = h5.create_dataset(
        SIGNALS,
        (rows, leads, extent.longest),
        np.int16,
        chunks=(1, leads, min(extent.longest, _CHUNK_SAMPLES)),
        fillvalue=MISSING,
        **packed,
    )
    signals.attrs["leads"] = list(LEADS)
    signals.attrs["units"] = "(signals - baseline) / gain is mV"
    signals.attrs["missing"] = np.int16(MISSING)
    h5.create_dataset("gain", (rows, leads), np.float64, fillvalue=np.nan)
    h5.create_dataset("baseline", (rows, leads), np.int32)
    for name in NUMBERS:
        h5.create_dataset(name, (rows,), np.int32)
    for name in TEXTS:
        h5.create_dataset(name, (rows,), h5py.string_dtype("utf-8", extent.widths[name]))
    width = extent.widths[METADATA]
    well_filled = rows * width <= _WELL_FILLED * extent.metadata_bytes
    h5.create_dataset(
        METADATA,
        (rows,),
        h5py.string_dtype("utf-8", width),
        chunks=(max(1, min(64, rows, _CHUNK_TEXT_BYTES // width)),),
        **(packed if well_filled else {}),
    )


def _fill(h5: h5py.File, corpus: Corpus, folder: Path, extent: _Extent) -> Iterator[None]:
    """Write all rows, and yield after some."""
    first = 0
    with tqdm(total=extent.rows, unit="rec", disable=None) as bar:
        for batch in _rows(folder):
            here = slice(first, first + len(batch))
            for name in NUMBERS:
                h5[name][here] = [row[name] for row in batch]
            for name in TEXTS:
                _write_texts(h5[name], here, [row[name].encode() for row in batch])
            _write_texts(h5[METADATA], here, [metadata_text(row) for row in batch])
            gains = np.full((len(batch), len(LEADS)), np.nan)
            baselines = np.zeros((len(batch), len(LEADS)), dtype=np.int32)
            for number, row in enumerate(batch):
                record = corpus.sample(first + number).record
                places = [lead_number(lead) for lead in record.leads]
                gains[number, places], baselines[number, places] = record.gain, record.baseline
                signal = np.full((len(LEADS), row["samples"]), MISSING, dtype=np.int16)
                signal[places] = record.digital
                h5[SIGNALS][first + number, :, : row["samples"]] = signal
                bar.update()
            h5["gain"][here], h5["baseline"][here] = gains, baselines
            first += len(batch)
            yield


def _write_texts(data: h5py.Dataset, here: slice, texts: list[bytes]) -> None:
    data[here] = np.array(texts, dtype=data.dtype)  # a type of h5py's, which says UTF-8
