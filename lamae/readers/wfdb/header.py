"""The text header of a WFDB record, as header(5) of the WFDB Applications Guide defines it.

wfdb.rdheader reads the same fields; it takes fifteen times as long, most of a run over PTB-XL, and
refuses names and comments that people write. No error repeats a line: a comment that lost its mark
may name a person.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

DEFAULT_SAMPLING_RATE = 250.0
DEFAULT_GAIN = 200.0
DEFAULT_UNITS = "mV"
GAP = "~"
"""The name of a segment that was not recorded."""

_COUNT = r"\d{1,18}"
_INTEGER = rf"[-+]?{_COUNT}"
_NUMBER = r"[-+]?(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:[eE][-+]?\d{1,3})?"

_BLANKS = re.compile(r"\s+")
_SEGMENTED = re.compile(rf"(?s:.+)/({_COUNT})", re.ASCII)
_AFTER_NAME = re.compile(
    rf"(?P<signals>\d{{1,6}})"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/\S*)?(?:\s+(?P<samples>{_COUNT})(?:\s.*)?)?)?",
    re.ASCII,
)
_FORMAT = re.compile(
    rf"(?P<format>\d{{1,3}})(?:x(?P<samples_per_frame>{_COUNT}))?"
    rf"(?::(?P<skew>{_COUNT}))?(?:\+(?P<offset>{_COUNT}))?",
    re.ASCII,
)
_GAIN = re.compile(rf"(?P<gain>{_NUMBER})(?:\((?P<baseline>{_INTEGER})\))?(?:/(?P<units>\S+))?")
_WHOLE = re.compile(_INTEGER, re.ASCII)
_SEGMENT = re.compile(rf"(?P<name>\S(?:.*\S)?)\s+(?P<samples>{_COUNT})", re.ASCII)
_COMMENT_BEHIND = re.compile(r"\s#(?:\s.*)?$")
_NOT_IN_A_NAME = re.compile(r"[/\\\0]")

# Places of the fields in a signal line; the last one is all the rest of the line.
_FORMAT_FIELD, _GAIN_FIELD, _ADC_ZERO, _CHECKSUM, _NAME = 1, 2, 4, 6, 8
_MOST_WORDS = 8
"""A name in a header that has more blanks is not understood."""


class HeaderSignal(NamedTuple):
    """One signal line."""

    file: str
    """Name of the signal file, in the folder of the header."""
    format: str
    """Storage format, e.g. 16 or 212."""
    samples_per_frame: int
    """Samples of this signal for one of the record's sampling rate."""
    skew: int
    """Samples by which the signal is late."""
    offset: int
    """Bytes before the first sample in the file."""
    gain: float
    """Integer units per physical unit."""
    baseline: int
    """The integer at zero."""
    units: str
    """Physical unit."""
    checksum: int | None
    """Sum of all samples modulo 2**16, where it is given."""
    name: str
    """Description of the signal: the name of a lead."""


class Header(NamedTuple):
    """A header of one segment."""

    sampling_rate: float
    """Frames per second."""
    samples: int | None
    """Frames, which are samples where a signal has one in each, if the header gives them."""
    signals: tuple[HeaderSignal, ...]
    """Signals, in the order of the file."""
    comments: tuple[str, ...]
    """Comment lines, without their mark."""
    notes: tuple[str, ...]
    """Deviations from header(5), and values left to their defaults."""


class Segment(NamedTuple):
    """A stretch of a record of several segments."""

    name: str
    """The record that holds it; `GAP` for a stretch that was not recorded."""
    samples: int
    """Frames; 0 of a header that only describes the signals of the others."""


class SegmentsHeader(NamedTuple):
    """A header of several segments."""

    sampling_rate: float
    """Frames per second."""
    segments: tuple[Segment, ...]
    """Segments in the order of time."""
    comments: tuple[str, ...]
    """Comment lines, without their mark."""


class SegmentsError(ValueError):
    """The record has several segments, where one was asked for."""


class _RecordLine(NamedTuple):
    name: str
    segments: int | None
    fields: re.Match[str]


def parse_header(text: str) -> Header:
    """Parse the text of a header of one segment; raises ValueError that names the line.

    Raises SegmentsError, a ValueError, for a header of several.
    """
    number, record, lines = _record_line(text)
    if record.segments is not None:
        raise SegmentsError(f"line {number} announces segments")
    claimed = int(record.fields["signals"])
    if len(lines) != claimed:
        raise ValueError(f"{len(lines)} signal lines where line {number} says {claimed}")
    rate = float(record.fields["rate"] or 0)
    parsed = [_parse_signal(number, line) for number, line in lines]
    without_gain = [signal.name for signal, stated in parsed if not stated]
    notes = []
    if "." in record.name:
        notes.append(f"The header names the record {record.name}, with an extension.")
    if not rate:
        notes.append(f"The header gives no sampling rate: {DEFAULT_SAMPLING_RATE:g} Hz assumed.")
    if without_gain:
        listed = ", ".join(without_gain)
        notes.append(f"The header gives no gain of {listed}: {DEFAULT_GAIN:g} per mV assumed.")
    return Header(
        sampling_rate=rate or DEFAULT_SAMPLING_RATE,
        samples=int(record.fields["samples"] or 0) or None,
        signals=tuple(signal for signal, _ in parsed),
        comments=comments_in(text),
        notes=tuple(notes),
    )


def parse_segments(text: str) -> SegmentsHeader | None:
    """Parse a header of several segments, None of one; raises ValueError that names the line."""
    number, record, lines = _record_line(text)
    if record.segments is None:
        return None
    if len(lines) != record.segments:
        raise ValueError(f"{len(lines)} segments where line {number} says {record.segments}")
    segments = []
    for number, line in lines:
        match = _SEGMENT.fullmatch(line)
        if not match or _NOT_IN_A_NAME.search(match["name"]) or match["name"] in (".", ".."):
            raise ValueError(f"line {number} is no segment")
        segments.append(Segment(match["name"], int(match["samples"])))
    rate = float(record.fields["rate"] or 0) or DEFAULT_SAMPLING_RATE
    return SegmentsHeader(rate, tuple(segments), comments_in(text))


def is_header(text: str) -> bool:
    """Tell a header by its record line and the line of a signal or segment that follows it."""
    try:
        _, record, lines = _record_line(text)
        return bool(lines) and (record.segments is not None or bool(_parse_signal(*lines[0])))
    except ValueError:
        return False


def comments_in(text: str) -> tuple[str, ...]:
    """Return the comment lines of a header, without their mark."""
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line.lstrip("#").strip() for line in lines if line.startswith("#"))


def _record_line(text: str) -> tuple[int, _RecordLine, list[tuple[int, str]]]:
    """Return the number and fields of the record line, and the lines of signals or segments.

    Lines end at LF or CRLF alone: a comment may hold what Unicode takes for the end of one.
    """
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    fields = [(n, line) for n, line in stripped if line and not line.startswith("#")]
    if not fields:
        raise ValueError("no record line")
    (number, line), lines = fields[0], fields[1:]
    lines = [(n, _COMMENT_BEHIND.sub("", line)) for n, line in lines]
    readings = list(_readings(_COMMENT_BEHIND.sub("", line)))
    if not readings:
        raise ValueError(f"line {number} is no record line")
    fits = (r for r in readings if len(lines) in (r.segments, int(r.fields["signals"])))
    record = next(fits, readings[0])
    if len(lines) == int(record.fields["signals"]) and not all(
        _SEGMENT.fullmatch(line) for _, line in lines
    ):
        record = record._replace(segments=None)  # a slash and a number in the name of a record
    return number, record, lines


def _readings(line: str) -> Iterator[_RecordLine]:
    """Yield the ways to read a record line: its name may hold blanks, and a slash."""
    for blanks in list(_BLANKS.finditer(line))[:_MOST_WORDS]:
        fields = _AFTER_NAME.fullmatch(line, blanks.end())
        if fields:
            name = line[: blanks.start()]
            segmented = _SEGMENTED.fullmatch(name)
            yield _RecordLine(name, int(segmented[1]) if segmented else None, fields)


def _parse_signal(number: int, line: str) -> tuple[HeaderSignal, bool]:
    """Return the signal of a line, and whether the line states its gain.

    The name of the file is one word, or several where the line cannot be read so.
    """
    words = line.split()
    for count in range(1, min(len(words), _MOST_WORDS)):
        if count > 1 and "." not in words[count - 1]:
            continue
        rest = line.split(maxsplit=count)[count]
        signal = _signal(" ".join(words[:count]), ["", *rest.split(maxsplit=_NAME - 1)])
        if signal:
            return signal
    raise ValueError(f"line {number} is no signal line")


def _signal(file: str, fields: list[str]) -> tuple[HeaderSignal, bool] | None:
    fields += [""] * (_NAME + 1 - len(fields))
    form = _FORMAT.fullmatch(fields[_FORMAT_FIELD])
    gain = _GAIN.fullmatch(fields[_GAIN_FIELD] or f"{DEFAULT_GAIN}")
    integers = [field or "0" for field in fields[_GAIN_FIELD + 1 : _NAME]]
    if not (form and gain) or _NOT_IN_A_NAME.search(file) or file in (".", "..", GAP):
        return None
    if not all(_WHOLE.fullmatch(field) for field in integers):
        return None
    stated = float(gain["gain"]) if fields[_GAIN_FIELD] else 0.0
    signal = HeaderSignal(
        file=file,
        format=form["format"],
        samples_per_frame=int(form["samples_per_frame"] or 1),
        skew=int(form["skew"] or 0),
        offset=int(form["offset"] or 0),
        gain=stated or DEFAULT_GAIN,
        baseline=int(gain["baseline"] or fields[_ADC_ZERO] or 0),
        units=gain["units"] or DEFAULT_UNITS,
        checksum=int(fields[_CHECKSUM]) if fields[_CHECKSUM] else None,
        name=fields[_NAME],
    )
    return signal, bool(stated)
