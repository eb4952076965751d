"""A source as it would be read: recordings, patients, leads, labels, and what would not be read."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.ecg.leads import LEADS, leads_given_by
from lamae.ecg.record import MISSING, Reading, Record
from lamae.errors import InputError, RecordError
from lamae.files import printable
from lamae.quality.examine import examine
from lamae.readers.any_file import read_file
from shards.build.read import read_entry
from shards.entries import LABELS_OF, Entry, Listing, as_texts, classes_of
from shards.rejects import by_reason, not_read
from shards.settings import InspectSettings
from shards.show import reject_lines
from shards.sources.folder import list_folder
from shards.sources.kinds import list_source, usable

_HEADER = ("recording", "patient", "leads", "Hz", "s", "mV", "labels", "notes")
_MAX_CELL = 36
_CLASSES_NAMED = 12
_COUNTED_LEADS = 3


def inspect_source(settings: InspectSettings) -> Iterator[str]:
    """Say of a folder or a file what a build would read; raises InputError for one of no use."""
    if settings.source.is_file():
        yield from _file_lines(settings)
        return
    listing = _listed(settings)
    table, number = listing.table, len(listing)
    kinds = ", ".join(f"{n} {kind}" for kind, n in _times(table["reader"]).most_common())
    at_most = "at most " * bool(listing.patients_unread)
    patients = listing.count_distinct("patient_id")
    yield f"{number} recordings ({kinds}) of {at_most}{patients} patients"
    if listing.without_patient:
        yield f"{listing.without_patient} recordings without a patient: each counts as its own"
    yield from map(printable, listing.found)
    yield from _label_lines(table)
    for sentence in listing.doubts:
        yield f"look at: {printable(sentence)}"
    chosen = _drawn(listing, settings)
    how = "all of them" if len(chosen) == number else "drawn by chance"
    yield f"{len(chosen)} recordings as they are read, {how}:"
    yield from _table_lines([_row(entry, settings) for entry in chosen])
    if listing.without_label_row:
        yield f"without a row in the table: {listing.without_label_row} recordings, unlabelled"
    unread = [each._asdict() for each in not_read(listing.rejects)]
    yield from reject_lines(by_reason(listing.rejects), unread)


def _listed(settings: InspectSettings) -> Listing:
    if settings.source_kind != "folder" or not settings.source.is_dir():
        return list_source(settings)
    return usable(settings, list_folder(settings, max_opened=settings.max_opened))


def _drawn(listing: Listing, settings: InspectSettings) -> list[Entry]:
    generator = np.random.default_rng(settings.seed)
    count = min(settings.recordings, len(listing))
    places = generator.choice(len(listing), count, replace=False)
    return [listing.entry(place) for place in sorted(places.tolist())]


def _times(column: pa.ChunkedArray) -> Counter[str]:
    """Count the texts of a column, in the order in which they come."""
    found = pc.value_counts(as_texts(column).drop_null())
    return Counter({each["values"].as_py(): each["counts"].as_py() for each in found})


def _label_lines(table: pa.Table) -> Iterator[str]:
    """Yield each label set with its classes, the most frequent first, and what is unlabelled."""
    for column in table.column_names:
        if not column.startswith(LABELS_OF):
            continue
        times = {classes_of(text): n for text, n in _times(table[column]).items()}
        counts = Counter[str]()
        for classes, number in times.items():
            for name in classes or ():
                counts[name] += number
        shown = [f"{each} {n}" for each, n in counts.most_common(_CLASSES_NAMED)]
        more = [f"{len(counts) - len(shown)} others"] if len(counts) > len(shown) else []
        unlabelled = times.get(None, 0) + table[column].null_count
        rest = {"none of them": times.get((), 0), "unlabelled": unlabelled}
        more += [f"{what} {number}" for what, number in rest.items() if number]
        name = column.removeprefix(LABELS_OF)
        yield printable(f"label set {name}: {', '.join([*shown, *more])}")


def _row(entry: Entry, settings: InspectSettings) -> tuple[str, ...]:
    """Return a line of the table: a recording as it is read, or why it is not."""
    labels = "; ".join(
        f"{name}: {'unlabelled' if classes is None else ', '.join(classes) or 'none'}"
        for name, classes in entry.labels.items()
    )
    try:
        found = _measured(read_entry(entry, settings), settings)
    except RecordError as error:
        found = ("", "", "", "", f"not read, {error.reason}")
    return (entry.name, entry.patient_id, *found[:4], labels, found[4])


def _measured(reading: Reading, settings: InspectSettings) -> tuple[str, ...]:
    """Return leads, rate, seconds, amplitude and notes; raises RecordError as a build does."""
    record = reading.record
    notes = [f"shorter than {settings.min_duration_s:g} s"] * (
        record.duration_s < settings.min_duration_s
    )
    verdict = examine(record, settings.quality)
    dropped = [f"without {', '.join(reading.dropped)}"] * bool(reading.dropped)
    notes += [*verdict.flags, *reading.notes, *dropped]
    return (
        _leads(record),
        str(record.sampling_rate),
        f"{record.duration_s:.4g}",
        f"{_amplitude_mv(record):.2g}",
        "; ".join(notes),
    )


def _leads(record: Record) -> str:
    number, given = len(record.leads), len(leads_given_by(record.leads))
    if number <= _COUNTED_LEADS:
        return ", ".join(record.leads)
    if number == len(LEADS):
        return "all 12"
    return f"{number} leads" if given == number else f"{number}, which give {given}"


def _amplitude_mv(record: Record) -> float:
    """Return the median over leads of the largest less the smallest sample."""
    known = np.where(record.digital == MISSING, np.nan, record.digital)
    spans = [np.nanmax(row) - np.nanmin(row) for row in known if not np.isnan(row).all()]
    gains = np.abs(record.gain)[: len(spans)]
    return float(np.median(np.divide(spans, gains))) if spans else 0.0


def _table_lines(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows in columns of equal width, without those that are empty."""
    cells = [_HEADER, *([_cut(printable(cell)) for cell in row] for row in rows)]
    columns = [column for column in zip(*cells, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"  {'  '.join(padded).rstrip()}"


def _cut(cell: str) -> str:
    return cell if len(cell) <= _MAX_CELL else f"{cell[: _MAX_CELL - 1]}\u2026"


def _file_lines(settings: InspectSettings) -> Iterator[str]:
    """Yield a single file as it is read, or why it is not."""
    path = settings.source
    try:
        reading = read_file(path, settings.read_options)
        _, rate, seconds, amplitude, notes = _measured(reading, settings)
    except InputError as error:
        yield f"not read: {printable(str(error))}"
        return
    about = reading.record.about
    yield f"{path.name}: one recording"
    leads = reading.record.leads
    more = ", ".join(lead for lead in leads_given_by(leads) if lead not in leads)
    yield f"leads: {', '.join(leads)}" + f"; they give {more}" * bool(more)
    yield f"sampling rate: {rate} Hz; {seconds} s"
    yield f"amplitude: {amplitude} mV, the median of its leads from the lowest to the highest"
    stated = (about.patient_id, about.age, about.sex, about.start)
    names = ("patient", "age", "sex", "start")
    for name, value in zip(names, stated, strict=True):
        if value is not None:
            yield f"{name}: {printable(str(value))}"
    if notes:
        yield f"notes: {printable(notes)}"
