"""HDF5 files that hold many recordings each, with a table of their patients, labels and splits."""

from dataclasses import replace

from lamae.errors import RecordError
from lamae.readers.arrays.hdf5_files import recording_names
from shards.entries import Entry, Listing, Reject
from shards.rejects import reject_of
from shards.settings import LocalSource
from shards.sources.folder import require_sampling_rate
from shards.sources.join import all_files_below, join
from shards.tables.cells import identifier
from shards.tables.columns import PATHS
from shards.tables.label_table import LABELS, NO_TABLE, LabelTable, read_label_table
from shards.tables.match import by_place, refuse_strangers
from shards.unread import unread_files

SUFFIXES = (".h5", ".hdf5")
"""Endings of the files that are read."""


def list_hdf5(settings: LocalSource) -> Listing | None:
    """List the recordings of all HDF5 files below the source.

    The table names them by id, or without `arrays.ids` by number: its column says
    `<file>#<number>`, or with a single file the number, or its rows are in the order of the file.
    """
    present = all_files_below(settings.source)
    files = [path for path in present if path.casefold().endswith(SUFFIXES)]
    if not files:
        return None
    require_sampling_rate(settings)
    names: dict[str, str] = {}
    rejects: list[Reject] = []
    for file in files:
        try:
            found = recording_names(settings.source / file, settings.arrays)
        except RecordError as error:
            rejects.append(reject_of(error, file, settings.source))
            continue
        names |= {f"{file}#{number}": name for number, name in enumerate(found)}
    numbered = settings.arrays.ids is None
    table = _table(settings, names, numbered=numbered and len(files) == 1)
    keys = {place: place if numbered else name for place, name in names.items()}
    patients = {place: row.patient_id for place, row in table.rows.items()}

    def complete(entry: Entry) -> Entry:
        file, _, number = entry.path.rpartition("#")
        return entry._replace(path=file, reader="hdf5", item=int(number))

    listing = join(keys, patients, table, complete)
    rest = [path for path in present if path not in files]
    in_use = settings.table or settings.source / LABELS
    unread = unread_files(settings.source, rest, table=in_use)
    return replace(listing, rejects=[*rejects, *listing.rejects, *unread])


def _table(settings: LocalSource, names: dict[str, str], *, numbered: bool) -> LabelTable:
    """Return the table by `<file>#<number>`, if there is one."""
    path = settings.table or settings.source / LABELS
    if settings.table is None and not path.is_file():
        return NO_TABLE
    of_ids = (settings.arrays.ids or "").rpartition("/")[2]
    table = read_label_table(
        path, settings, paths=(of_ids, *PATHS) if of_ids else PATHS, numbered=numbered
    )
    places = {place: place for place in names}
    if settings.arrays.ids is not None or numbered:
        places |= {identifier(name) or name: place for place, name in names.items()}
    rows = by_place(path, table.rows, places)
    refuse_strangers(path, rows, names, min_matched=settings.min_matched)
    return table._replace(rows=rows)
