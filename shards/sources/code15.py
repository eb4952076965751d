"""CODE-15% (Ribeiro et al. 2021): exams.csv, and the exams_part<n>.hdf5 that it names."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamae.errors import RecordError
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.arrays.hdf5_files import recording_names
from shards.entries import Entry, Listing, Reject
from shards.rejects import reject_of
from shards.settings import LocalSource
from shards.sources.join import files_below, join
from shards.tables.cells import identifier, truth
from shards.tables.label_row import LabelRow
from shards.tables.label_table import LabelTable
from shards.tables.read_table import read_csv, table_error

EXAMS = "exams.csv"

CLASSES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
"""Abnormalities, and the columns that say whether an exam shows them."""
LABEL_SET = "code15"
"""Name of the label set."""
LAYOUT = ArrayLayout(
    sampling_rate=400, unit="mV", zero_padded=True, dataset="tracings", ids="exam_id"
)
"""Layout of the parts: (exams, 4096, 12) floats in mV, in the canonical order of leads."""

_ABOUT = ("age", "is_male", "nn_predicted_age", "death", "timey", "normal_ecg")
_FILLER = "0"


class _Exams(NamedTuple):
    """Exams of the parts that are there."""

    keys: dict[str, str]
    """By place, `<part>#<number>`: the exam's id."""
    rejects: list[Reject]
    """Parts, and recordings in them, of no use."""


def list_code15(settings: LocalSource) -> Listing | None:
    """List the exams of the parts that are in the source; a part may be absent."""
    table = settings.table or settings.source / EXAMS
    parts = {PurePosixPath(path).name: path for path in files_below(settings.source, [".hdf5"])}
    if not table.is_file() or not parts:
        return None
    keys, rejects = _exams(settings.source, parts.values())
    places = {(place.rpartition("#")[0], exam): place for place, exam in keys.items()}
    rows: dict[str, LabelRow] = {}
    about: dict[str, dict[str, str]] = {}
    absent = Counter[str]()
    for row in read_csv(table, ("exam_id", "patient_id", "trace_file", *CLASSES)):
        exam, file = identifier(row["exam_id"]), row["trace_file"].strip()
        part = parts.get(file)
        if part is None or exam is None:
            absent[file] += 1
            continue
        place = places.get((part, exam), f"{part}#{exam}")
        if place in rows:
            raise table_error(table, f"exam {exam} in two rows")
        rows[place] = LabelRow(row["patient_id"], None, {LABEL_SET: _classes(table, row)})
        about[place] = {name: row[name] for name in _ABOUT if row.get(name)}
    rejects += [
        Reject(part, "missing_part", f"{EXAMS} names {exams} exams in it, the source lacks it")
        for part, exams in sorted(absent.items())
    ]
    patients = {place: row.patient_id for place, row in rows.items()}

    def complete(entry: Entry) -> Entry:
        part, _, number = entry.path.rpartition("#")
        known = about.get(entry.path, {})
        return entry._replace(path=part, about=known, reader="code15", item=int(number))

    listing = join(keys, patients, LabelTable(rows, (LABEL_SET,)), complete)
    return replace(listing, rejects=[*rejects, *listing.rejects])


def _exams(source: Path, parts: Iterable[str]) -> _Exams:
    keys: dict[str, str] = {}
    rejects: list[Reject] = []
    for part in parts:
        try:
            names = recording_names(source / part, LAYOUT)
        except RecordError as error:
            rejects.append(reject_of(error, part, source))
            continue
        for number, name in enumerate(names):
            place = f"{part}#{number}"
            exam = identifier(name)
            if exam in (None, _FILLER):
                message = "exam 0 is no exam: zeros fill the last place of a part"
                rejects.append(Reject(place, "filler_exam", message))
            else:
                keys[place] = exam or name
    return _Exams(keys, rejects)


def _classes(table: Path, row: dict[str, str]) -> tuple[str, ...]:
    present = {name: truth(row[name]) for name in CLASSES}
    unclear = [name for name, value in present.items() if value is None]
    if unclear:
        value = f"{row[unclear[0]]!r} as {unclear[0]} of exam {row['exam_id']}"
        raise table_error(table, value)
    return tuple(name for name, value in present.items() if value)
