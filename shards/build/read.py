"""An entry of a source becomes a record."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from lamae.ecg.record import Reading
from lamae.readers.array_files import read_csv_signals, read_npy
from lamae.readers.hdf5_files import read_hdf5
from lamae.readers.icbeb import read_icbeb
from lamae.readers.wfdb_files import read_wfdb_signals
from shards.entries import Entry, Reader
from shards.settings import LocalSource
from shards.sources.code15 import LAYOUT

ReadEntry = Callable[[Path, Entry, LocalSource], Reading]
"""Reads an entry below a source folder; raises RecordError."""


def _read_wfdb(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    return read_wfdb_signals(source / f"{entry.path}.hea")


def _read_icbeb(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    return read_icbeb(source / entry.path)


def _read_npy(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    return read_npy(source / entry.path, settings.arrays, name=entry.path)


def _read_csv(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    return read_csv_signals(source / entry.path, settings.arrays, name=entry.path)


def _read_hdf5(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    name = entry.path if entry.item is None else entry.key
    return read_hdf5(source / entry.path, settings.arrays, item=entry.item, name=name)


def _read_code15(source: Path, entry: Entry, settings: LocalSource) -> Reading:
    return read_hdf5(source / entry.path, LAYOUT, item=entry.item, name=entry.key)


READERS: Mapping[Reader, ReadEntry] = MappingProxyType(
    {
        "wfdb": _read_wfdb,
        "icbeb": _read_icbeb,
        "npy": _read_npy,
        "csv": _read_csv,
        "hdf5": _read_hdf5,
        "code15": _read_code15,
    }
)


def read_entry(entry: Entry, settings: LocalSource) -> Reading:
    """Read one recording of the source; raises RecordError for one that cannot be read."""
    return READERS[entry.reader](settings.source, entry, settings)
