"""WFDB records of several segments: stretches of time, each a record, and gaps between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.errors import RecordError
from lamae.readers.quantise import quantise
from lamae.readers.regular_files import first_bytes
from lamae.readers.traces import MAX_SAMPLES, MAX_VALUES, Trace, refuse
from lamae.readers.wfdb.header import GAP, Segment, SegmentsHeader, parse_header, parse_segments
from lamae.readers.wfdb.segment import (
    SegmentTraces,
    WfdbOptions,
    header_path,
    header_text,
    read_segment,
)

MAX_SEGMENTS = 2**14
"""Most segments of a record."""

_FIRST_BYTES = 512
"""A header whose first line goes on behind them is no one of segments."""


class _Piece(NamedTuple):
    start: int
    read: SegmentTraces


def segment_names(path: Path) -> tuple[str, ...]:
    """Return the records that a WFDB header has as its segments, by their names in its folder.

    None of a header of one segment, and of a file that cannot be read: a source calls this for
    each header that it finds, and lists none of the named ones as a recording of its own. The
    first line alone is read of most headers.
    """
    start = first_bytes(path, _FIRST_BYTES)
    if b"/" not in start:
        return ()
    try:
        header = parse_segments(header_text(path))
    except (OSError, ValueError):
        return ()
    names = [segment.name for segment in header.segments] if header else []
    return tuple(sorted({name for name in names if name != GAP}))


def read_segments(path: Path, header: SegmentsHeader, options: WfdbOptions) -> SegmentTraces:
    """Read the standard leads of all segments of a record; they are missing where one lacks them.

    A lead with one scale in all segments keeps its integers; others get the finest that holds them
    all. Raises RecordError with one of `lamae.readers.wfdb.segment.REASONS`.
    """
    stem = str(path.with_suffix(""))
    frames = sum(segment.samples for segment in header.segments)
    if frames > MAX_SAMPLES or len(header.segments) > MAX_SEGMENTS:
        value = f"{frames} samples in {len(header.segments)} segments"
        expected = f"at most {MAX_SAMPLES} in {MAX_SEGMENTS}"
        refuse(stem, "too_many_samples", value=value, expected=expected)
    pieces, files, dropped, notes = [], [path], dict[str, None](), dict[str, None]()
    start = 0
    for segment in header.segments:
        if segment.name != GAP and segment.samples:
            read = _read_piece(path, segment, header.sampling_rate, options)
            pieces.append(_Piece(start, read))
            files += read.files
            dropped |= dict.fromkeys(read.dropped)
            notes |= dict.fromkeys(read.notes)
        start += segment.samples
    found = {trace.lead for piece in pieces for trace in piece.read.traces}
    if not found:
        expected = "at least one of the twelve leads"
        refuse(stem, "no_standard_lead", value="none in any segment", expected=expected)
    leads = [lead for lead in LEADS if lead in found]
    widest = max(_width(t, header) for piece in pieces for t in piece.read.traces)
    if frames * widest > MAX_SAMPLES or frames * widest * len(leads) > MAX_VALUES:
        value, expected = f"{frames * widest} samples", f"at most {MAX_SAMPLES}"
        refuse(stem, "too_many_samples", value=value, expected=expected)
    traces = tuple(_join(lead, pieces, frames, header, stem) for lead in leads)
    recorded = sum(piece.read.frames for piece in pieces)
    if recorded < frames:
        notes[f"{frames - recorded} of {frames} samples are in no segment with a lead."] = None
    return SegmentTraces(traces, frames, tuple(files), tuple(dropped), tuple(notes))


def _read_piece(
    path: Path, segment: Segment, sampling_rate: float, options: WfdbOptions
) -> SegmentTraces:
    """Read one segment; one without a standard lead has no frames."""
    stem, place = str(path.with_suffix("")), header_path(path.with_name(segment.name))
    try:
        header = parse_header(header_text(place))
    except OSError as error:
        expected = "its segments beside it"
        refuse(stem, "missing_header", value=error, expected=expected, remedy="Copy it again.")
    except ValueError as error:
        expected = "a WFDB header (header(5)) of one segment"
        refuse(stem, "unreadable_header", value=f"{place.name}: {error}", expected=expected)
    if header.sampling_rate != sampling_rate or header.samples not in (None, segment.samples):
        value = f"{header.samples} samples at {header.sampling_rate:g} Hz in {place.name}"
        expected = f"{segment.samples} at {sampling_rate:g} Hz, as {path.name} says"
        refuse(stem, "unreadable_header", value=value, expected=expected)
    try:
        return read_segment(place, header._replace(samples=segment.samples), options)
    except RecordError as error:
        if error.reason != "no_standard_lead":
            raise
        names = tuple(signal.name for signal in header.signals)
        return SegmentTraces((), 0, (place,), names, ())


def _width(trace: Trace, header: SegmentsHeader) -> int:
    """Return the samples of a lead in a frame."""
    return round(trace.sampling_rate / header.sampling_rate)


def _join(
    lead: str, pieces: Sequence[_Piece], frames: int, header: SegmentsHeader, stem: str
) -> Trace:
    """Return a lead of all segments."""
    parts = [
        (piece.start, trace)
        for piece in pieces
        for trace in piece.read.traces
        if trace.lead == lead
    ]
    first = parts[0][1]
    width = _width(first, header)
    if any(_width(trace, header) != width for _, trace in parts):
        value = f"lead {lead} with several numbers of samples per frame"
        refuse(stem, "unsupported_format", value=value, expected="one for all segments")
    if any((t.gain, t.baseline) != (first.gain, first.baseline) for _, t in parts):
        return _join_scaled(parts, frames, width, stem)
    dtype = np.result_type(*(trace.values for _, trace in parts))
    values = np.zeros(frames * width, dtype)
    missing = np.ones(len(values), bool)
    for start, trace in parts:
        place = slice(start * width, start * width + len(trace.values))
        values[place], missing[place] = trace.values, trace.is_missing()
    return first._replace(values=values, missing=missing)


def _join_scaled(parts: Sequence[tuple[int, Trace]], frames: int, width: int, stem: str) -> Trace:
    """Return a lead whose segments have scales of their own, in one that fits all."""
    signal_mv = np.full((1, frames * width), np.nan)
    for start, trace in parts:
        signal_mv[0, start * width : start * width + len(trace.values)] = trace.in_mv()
    scaled = quantise(signal_mv, name=stem)
    return parts[0][1]._replace(
        values=scaled.digital[0], gain=scaled.gain[0], baseline=scaled.baseline[0], missing=None
    )
