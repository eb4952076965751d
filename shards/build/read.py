"""An entry of a source becomes a record."""

from dataclasses import replace

from lamae.ecg.record import Reading
from lamae.readers.any_file import read_file
from lamae.readers.array_files import read_csv_signals, read_npy
from lamae.readers.array_layout import ArrayLayout
from lamae.readers.hdf5_files import read_hdf5
from lamae.readers.icbeb import read_icbeb
from lamae.readers.read_options import ReadOptions
from lamae.readers.wfdb_files import read_wfdb_signals
from shards.entries import Entry
from shards.settings import LocalSource
from shards.sources.code15 import LAYOUT


def read_entry(entry: Entry, settings: LocalSource) -> Reading:
    """Read one recording of the source; raises RecordError for one that cannot be read."""
    path, named = settings.source / entry.path, settings.leads_as
    match entry.reader:
        case "wfdb":
            return read_wfdb_signals(
                path, leads_as=named, unit=settings.unit, checksums=settings.checksums
            )
        case "icbeb":
            return read_icbeb(path, unit=settings.unit)
        case "npy":
            return read_npy(path, arrays_of(settings), name=entry.path, leads_as=named)
        case "csv":
            return read_csv_signals(
                path, arrays_of(settings), name=entry.path, leads_as=named, unit=settings.unit
            )
        case "hdf5" | "code15":
            layout = LAYOUT if entry.reader == "code15" else arrays_of(settings)
            name = entry.path if entry.item is None else entry.key
            return read_hdf5(path, layout, item=entry.item, name=name, leads_as=named)
        case "by_content":
            reading = read_file(path, options_of(settings))
            return reading._replace(record=replace(reading.record, name=entry.path))


def options_of(settings: LocalSource) -> ReadOptions:
    """Return the user's word on files of any format."""
    return ReadOptions(settings.leads_as, settings.unit, settings.checksums, settings.arrays)


def arrays_of(settings: LocalSource) -> ArrayLayout:
    """Return the layout of arrays in the user's unit."""
    if settings.unit is None:
        return settings.arrays
    return settings.arrays.model_copy(update={"unit": settings.unit})
