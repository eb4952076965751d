"""WFDB records: a text header `.hea` and binary signal files, or other records as segments."""

from collections.abc import Mapping
from pathlib import Path

from lamae.ecg.record import Reading, Record
from lamae.readers.quantise import REASONS as QUANTISE_REASONS
from lamae.readers.regular_files import file_size
from lamae.readers.traces import REASONS as TRACE_REASONS
from lamae.readers.traces import join_traces, refuse
from lamae.readers.wfdb.header import SegmentsHeader, comments_in, parse_header, parse_segments
from lamae.readers.wfdb.segment import REASONS as SEGMENT_REASONS
from lamae.readers.wfdb.segment import (
    Checksums,
    WfdbOptions,
    header_path,
    header_text,
    read_segment,
)
from lamae.readers.wfdb.segments import read_segments

REASONS: tuple[str, ...] = tuple(dict.fromkeys(SEGMENT_REASONS + TRACE_REASONS + QUANTISE_REASONS))
"""Every reason that a RecordError of `read_wfdb` can have."""


def read_wfdb(
    path: Path | str,
    *,
    leads_as: Mapping[str, str] | None = None,
    unit: str | None = None,
    checksums: Checksums = "strict",
) -> Record:
    """Read the standard leads of a WFDB record as `read_wfdb_signals` does; drop the others."""
    return read_wfdb_signals(Path(path), leads_as=leads_as, unit=unit, checksums=checksums).record


def read_wfdb_signals(
    path: Path,
    *,
    leads_as: Mapping[str, str] | None = None,
    unit: str | None = None,
    checksums: Checksums = "strict",
) -> Reading:
    """Read a WFDB record; `path` is its header, with or without `.hea`.

    Returns the standard leads in canonical order as the file's own integers, where missing samples
    are `lamae.ecg.record.MISSING`; the others are dropped. Gaps between segments are missing
    samples, skew is undone, and rates are made one whole number, as notes say. Raises RecordError,
    with one of `REASONS`, for every record that cannot be read or, with `checksums="strict"`, whose
    checksum differs from its header's.

    Args:
        path: the header.
        leads_as: standard leads by the names that the header gives to signals.
        unit: of the values, whatever the header says: mV, uV or V.
        checksums: "warn" notes a checksum that differs and keeps the record.
    """
    place = header_path(path)
    stem = place.with_suffix("") if place.suffix.lower() == ".hea" else place
    options = WfdbOptions(leads_as, unit, checksums)
    expected = "a WFDB header (header(5))"
    if file_size(place) is None:
        refuse(str(path), "missing_header", value=f"no {place.name}", expected=expected)
    try:
        text = header_text(place)
        header = parse_segments(text) or parse_header(text)
    except (OSError, ValueError) as error:
        value = f"{place.name}: {error}"
        refuse(str(path), "unreadable_header", value=value, expected=expected)
    if isinstance(header, SegmentsHeader):
        read = read_segments(place, header, options)
    else:
        read = read_segment(place, header, options)
    joined = join_traces(read.traces, name=stem.name, thing=str(stem), comments=header.comments)
    return Reading(joined.record, read.files, read.dropped, read.notes + joined.notes)


def read_wfdb_comments(path: Path) -> tuple[str, ...]:
    """Return the comments of a WFDB header, and none of a file that cannot be read.

    `path` is the header. For tables of labels, which need no more: `read_wfdb_signals` refuses the
    record, with a reason.
    """
    try:
        return comments_in(header_text(path))
    except OSError:
        return ()
