"""A user's own folder of recordings, with a table of their patients, labels and splits."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from lamae.errors import InputError
from lamae.readers.array_files import names_leads
from shards.entries import Entry, Listing, Reader
from shards.settings import ShardsSettings
from shards.sources.join import files_below, join
from shards.sources.tables import (
    NO_TABLE,
    LabelRow,
    LabelTable,
    label_columns_of,
    read_label_table,
    table_error,
)

READERS_BY_SUFFIX: Mapping[str, Reader] = MappingProxyType(
    {".hea": "wfdb", ".npy": "npy", ".csv": "csv", ".h5": "hdf5", ".hdf5": "hdf5"}
)
"""How files with these endings are read."""
_OF_A_RECORD = (".hea", ".dat", ".mat")


def list_folder(settings: ShardsSettings) -> Listing:
    """List recordings below a folder: the table names their patients, or each record is one.

    A .csv file is a recording if its header names a lead. The table names files with their ending
    or without, where no other file differs in the ending alone.
    """
    readers = _recordings(settings)
    if readers and "wfdb" not in readers.values():
        require_sampling_rate(settings)
    stems = Counter(_stem(path) for path in readers)
    keys = {path: path if stems[_stem(path)] > 1 else _stem(path) for path in readers}
    table = NO_TABLE
    if settings.table is not None:
        table = read_label_table(settings.table, label_columns_of(settings))
        paths = {key: path for path, key in keys.items()} | {path: path for path in keys}
        table = _by_path(settings.table, table, paths)
    patients = {path: row.patient_id or path for path, row in table.rows.items()}

    def complete(entry: Entry) -> Entry:
        return entry._replace(reader=readers[entry.path])

    return join(keys, patients, table, complete)


def require_sampling_rate(settings: ShardsSettings) -> None:
    """Raise InputError if the settings lack the sampling rate that arrays do not hold."""
    if settings.arrays.sampling_rate is None:
        raise InputError(
            "arrays.sampling_rate",
            value="null, and the recordings are arrays",
            expected="samples per second",
            remedy="Set arrays.sampling_rate.",
        )


def _recordings(settings: ShardsSettings) -> dict[str, Reader]:
    """Return how each recording is read, by path; of a WFDB record without ending."""
    readers: dict[str, Reader] = {}
    for path in files_below(settings.source, READERS_BY_SUFFIX):
        suffix = PurePosixPath(path).suffix
        whole = settings.source / path
        if suffix == ".csv" and (_is_table(whole, settings) or not names_leads(whole)):
            continue
        readers[path.removesuffix(".hea")] = READERS_BY_SUFFIX[suffix]
    return readers


def _is_table(path: Path, settings: ShardsSettings) -> bool:
    return settings.table is not None and path.resolve() == settings.table.resolve()


def _stem(path: str) -> str:
    """Return a path without an ending that is read here; a dot in a name begins no ending."""
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) if suffix in READERS_BY_SUFFIX else path


def _by_path(name: Path, table: LabelTable, paths: Mapping[str, str]) -> LabelTable:
    """Return the table by the paths of its recordings, which it may name in other ways."""
    rows: dict[str, LabelRow] = {}
    for record, row in table.rows.items():
        plain = PurePosixPath(record).as_posix()
        bare = plain.removesuffix(PurePosixPath(plain).suffix)
        beside = bare if plain.endswith(_OF_A_RECORD) else plain
        path = paths.get(plain) or paths.get(beside) or record
        if path in rows:
            raise table_error(name, f"{path} in two rows, the second as {record}")
        rows[path] = row
    return LabelTable(rows, table.label_sets)
