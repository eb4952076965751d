"""An entry of a source becomes a record."""

from dataclasses import replace

from lamae.ecg.record import Reading
from lamae.readers.any_file import read_file
from lamae.readers.arrays.array_files import read_csv_signals, read_npy
from lamae.readers.arrays.hdf5_files import read_hdf5
from lamae.readers.arrays.icbeb import read_icbeb
from lamae.readers.wfdb.record_files import read_wfdb_signals
from shards.entries import Entry
from shards.foreign.row_records import read_row
from shards.foreign.samples import read_sample
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
            return read_npy(path, settings.array_layout, name=entry.path, leads_as=named)
        case "csv":
            return read_csv_signals(
                path, settings.array_layout, name=entry.path, leads_as=named, unit=settings.unit
            )
        case "hdf5" | "code15":
            layout = LAYOUT if entry.reader == "code15" else settings.array_layout
            name = entry.path if entry.item is None else entry.key
            return read_hdf5(path, layout, item=entry.item, name=name, leads_as=named)
        case "webdataset":
            return read_sample(path, entry.item or 0, settings.read_options, settings.fields)
        case "huggingface":
            return read_row(
                settings.source,
                entry.path,
                entry.item or 0,
                settings.read_options,
                settings.fields,
                settings.dataset,
            )
        case "by_content":
            reading = read_file(path, settings.read_options)
            return reading._replace(record=replace(reading.record, name=entry.path))
