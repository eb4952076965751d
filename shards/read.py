"""An entry of a source becomes a record."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from lamae.readers.wfdb_files import read_wfdb_signals
from lamae.record import Reading
from shards.entries import Entry, Reader
from shards.settings import ShardsSettings

ReadEntry = Callable[[Path, Entry, ShardsSettings], Reading]
"""Reads an entry below a source folder; raises RecordError."""


def _read_wfdb(source: Path, entry: Entry, settings: ShardsSettings) -> Reading:
    return read_wfdb_signals(source / f"{entry.path}.hea")


READERS: Mapping[Reader, ReadEntry] = MappingProxyType({"wfdb": _read_wfdb})


def read_entry(entry: Entry, settings: ShardsSettings) -> Reading:
    """Read one recording of the source; raises RecordError for one that cannot be read."""
    return READERS[entry.reader](settings.source, entry, settings)
