"""Sources: which recordings there are, of whom, with which labels."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from lamae.errors import InputError
from lamae.samples import sample_key
from shards.entries import Entry, Listing, Reject
from shards.ptbxl import DATABASE, read_database
from shards.settings import ShardsSettings
from shards.tables import NO_TABLE, LabelRow, LabelTable, read_csv, read_label_table

LABELS = "labels.csv"
RECORD_LIST = "record_list.csv"

_LONGEST_KEY = 90
"""With an extension, a name in a POSIX tar has at most 100 bytes."""
_OUTSIDE = ("path_outside_source", "a table names a path that is not below the source folder")


def list_source(settings: ShardsSettings) -> Listing:
    """List the recordings of a source, without reading any.

    Raises InputError for a folder that is empty or not laid out as `source_kind` says.
    """
    if not settings.source.is_dir():
        raise _wrong_source(settings, "no such folder")
    kinds = {"ptbxl": _list_ptbxl, "mimic_iv_ecg": _list_mimic, "wfdb": _list_wfdb}
    listing = _with_distinct_keys(kinds[settings.source_kind](settings))
    if not listing.entries:
        raise _wrong_source(settings, f"no recording; {len(listing.rejects)} rows of its tables")
    return listing


def _wrong_source(settings: ShardsSettings, value: str) -> InputError:
    layouts = {
        "ptbxl": f"{LABELS} or {DATABASE}, and the records100/ or records500/ that it names",
        "mimic_iv_ecg": f"{RECORD_LIST} and the files/ that it names",
        "wfdb": "WFDB records (.hea and signal files) in it or below",
    }
    return InputError(
        f"source {settings.source}",
        value=value,
        expected=layouts[settings.source_kind],
        remedy="Check source= and source_kind=.",
    )


def _table(settings: ShardsSettings) -> LabelTable:
    """Read the label table that is named, or that lies in the source."""
    in_source = settings.source / LABELS
    if settings.table is None and (settings.source_kind == "wfdb" or not in_source.is_file()):
        return NO_TABLE
    return read_label_table(settings.table or in_source, settings.label_columns)


def _list_ptbxl(settings: ShardsSettings) -> Listing:
    """PTB-XL: a plain table or its own names recordings, e.g. records100/00000/00001_lr."""
    table = _table(settings)
    if not table.rows and (settings.source / DATABASE).is_file():
        table = read_database(settings.source)
    if not table.rows:
        raise _wrong_source(settings, f"neither {LABELS} nor {DATABASE}")
    inside = [record for record in table.rows if _is_inside(record)]
    folders = sorted({PurePosixPath(record).parts[0] for record in inside})
    on_disk = [path for folder in folders for path in _headers(settings.source, folder)]
    patients = {record: row.patient_id or record for record, row in table.rows.items()}
    keys = {path: PurePosixPath(path).name for path in on_disk}
    return _join(keys, patients, table)


def _list_mimic(settings: ShardsSettings) -> Listing:
    """MIMIC-IV-ECG: the record list names recordings and patients, labels are beside it."""
    path = settings.source / RECORD_LIST
    if not path.is_file():
        raise _wrong_source(settings, f"no {RECORD_LIST}")
    keys, patients = {}, {}
    for row in read_csv(path, ("subject_id", "study_id", "path")):
        keys[row["path"]] = row["study_id"]
        patients[row["path"]] = row["subject_id"]
    table = _table(settings)
    paths = {study: path for path, study in keys.items()}
    by_path = {paths.get(study, study): row for study, row in table.rows.items()}
    return _join(keys, patients, LabelTable(by_path, table.label_sets))


def _list_wfdb(settings: ShardsSettings) -> Listing:
    """WFDB records below a folder: the table names their patients, or each record is one."""
    table = _table(settings)
    keys = {path: path for path in _headers(settings.source)}
    patients = {record: row.patient_id or record for record, row in table.rows.items()}
    return _join(keys, patients, table)


def _headers(source: Path, below: str = "") -> list[str]:
    """Return the paths of all WFDB headers below a folder, sorted, without extension."""
    found = []
    for folder, _, names in os.walk(source / below):
        relative = Path(folder).relative_to(source)
        found += [(relative / n).as_posix()[:-4] for n in names if n.endswith(".hea")]
    return sorted(found)


def _is_inside(path: str) -> bool:
    """Whether a path that a table gives names something below the source folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


def _join(keys: Mapping[str, str], patients: Mapping[str, str], table: LabelTable) -> Listing:
    """Join recordings (path to key) with the table's rows by path; nothing is lost in silence."""
    rejects = [_row_without_record(record) for record in table.rows if record not in keys]
    bare = LabelRow(None, None, {})
    entries = []
    for path, key in keys.items():
        row = table.rows.get(path, bare)
        labels = table.unlabelled() if row is bare else row.labels
        patient = patients.get(path, path)
        if not _is_inside(path):
            rejects.append(Reject(path, *_OUTSIDE))
            continue
        if not key or not patient:
            rejects.append(Reject(path, "no_identifier", "it names no study or no patient"))
            continue
        entries.append(Entry(_short_key(sample_key(key)), path, patient, row.fold, labels))
    unnamed = sum(path not in table.rows for path in keys) if table.rows else 0
    return Listing(entries, rejects, unnamed)


def _row_without_record(record: str) -> Reject:
    if not _is_inside(record):
        return Reject(record, *_OUTSIDE)
    message = "the label table names it, the source lacks it"
    return Reject(record, "label_row_without_record", message)


def _short_key(key: str) -> str:
    if len(key) <= _LONGEST_KEY:
        return key
    digest = blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: _LONGEST_KEY - len(digest) - 1]}-{digest}"


def _with_distinct_keys(listing: Listing) -> Listing:
    """Keep the first entry of each key."""
    first: dict[str, Entry] = {}
    rejects = list(listing.rejects)
    for entry in listing.entries:
        kept = first.setdefault(entry.key, entry)
        if kept is not entry:
            message = f"its key {entry.key} is that of {kept.path}"
            rejects.append(Reject(entry.path, "duplicate_key", message))
    return listing._replace(entries=list(first.values()), rejects=rejects)
