"""The text header of a WFDB record, as header(5) of the WFDB Applications Guide defines it.

wfdb.rdheader reads the same fields; it takes fifteen times as long, most of a run over PTB-XL.
"""

import re
from typing import NamedTuple

DEFAULT_SAMPLING_RATE = 250.0
DEFAULT_GAIN = 200.0
DEFAULT_UNITS = "mV"

_COUNT = r"\d{1,18}"
_INTEGER = rf"[-+]?{_COUNT}"
_NUMBER = r"[-+]?(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:[eE][-+]?\d{1,3})?"

_RECORD = re.compile(
    rf"(?P<name>[-\w]+(?:\.[-\w]+)*)(?P<segments>/{_COUNT})?\s+(?P<signals>\d{{1,6}})"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/\S*)?(?:\s+(?P<samples>{_COUNT})(?:\s.*)?)?)?",
    re.ASCII,
)
_FORMAT = re.compile(
    rf"(?P<format>\d{{1,3}})(?:x(?P<samples_per_frame>{_COUNT}))?"
    rf"(?::(?P<skew>{_COUNT}))?(?:\+(?P<offset>{_COUNT}))?",
    re.ASCII,
)
_GAIN = re.compile(rf"(?P<gain>{_NUMBER})(?:\((?P<baseline>{_INTEGER})\))?(?:/(?P<units>\S+))?")
_FILE = re.compile(r"[-\w]+(?:\.[-\w]+)*", re.ASCII)
_WHOLE = re.compile(_INTEGER, re.ASCII)

# Places of the fields in a signal line; the last one is all the rest of the line.
_FILE_NAME, _FORMAT_FIELD, _GAIN_FIELD, _ADC_ZERO, _CHECKSUM, _NAME = 0, 1, 2, 4, 6, 8


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
    """Samples per second."""
    samples: int | None
    """Samples of each signal, where it is given."""
    signals: tuple[HeaderSignal, ...]
    """Signals, in the order of the file."""
    comments: tuple[str, ...]
    """Comment lines, without their mark."""
    notes: tuple[str, ...]
    """Where the header is not as header(5) says, or leaves a value to its default."""


class SegmentsError(ValueError):
    """The record has several segments."""


def parse_header(text: str) -> Header:
    """Parse the text of a header; raises ValueError that names the line, SegmentsError."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    fields = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not fields:
        raise ValueError("no record line")
    number, line = fields[0]
    record = _RECORD.fullmatch(line)
    if not record:
        raise ValueError(f"line {number} is no record line: {line[:80]!r}")
    if record["segments"]:
        raise SegmentsError(f"line {number} announces segments")
    claimed = int(record["signals"])
    if len(fields) - 1 != claimed:
        raise ValueError(f"{len(fields) - 1} signal lines where line {number} says {claimed}")
    rate = float(record["rate"] or 0)
    parsed = [_parse_signal(number, line) for number, line in fields[1:]]
    without_gain = [signal.name for signal, stated in parsed if not stated]
    notes = []
    if "." in record["name"]:
        notes.append(f"The header names the record {record['name']}, with an extension.")
    if not rate:
        notes.append(f"The header gives no sampling rate: {DEFAULT_SAMPLING_RATE:g} Hz assumed.")
    if without_gain:
        listed = ", ".join(without_gain)
        notes.append(f"The header gives no gain of {listed}: {DEFAULT_GAIN:g} per mV assumed.")
    return Header(
        sampling_rate=rate or DEFAULT_SAMPLING_RATE,
        samples=int(record["samples"] or 0) or None,
        signals=tuple(signal for signal, _ in parsed),
        comments=comments_in(text),
        notes=tuple(notes),
    )


def comments_in(text: str) -> tuple[str, ...]:
    """Return the comment lines of a header, without their mark."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line.lstrip("#").strip() for line in lines if line.startswith("#"))


def _parse_signal(number: int, line: str) -> tuple[HeaderSignal, bool]:
    """Return the signal of a line, and whether the line states its gain."""
    fields = line.split(maxsplit=_NAME)
    fields += [""] * (_NAME + 1 - len(fields))
    form = _FORMAT.fullmatch(fields[_FORMAT_FIELD])
    gain = _GAIN.fullmatch(fields[_GAIN_FIELD] or f"{DEFAULT_GAIN}")
    integers = [field or "0" for field in fields[_GAIN_FIELD + 1 : _NAME]]
    if not (form and gain and _FILE.fullmatch(fields[_FILE_NAME])) or not all(
        _WHOLE.fullmatch(field) for field in integers
    ):
        raise ValueError(f"line {number} is no signal line: {line[:80]!r}")
    stated = float(gain["gain"]) if fields[_GAIN_FIELD] else 0.0
    signal = HeaderSignal(
        file=fields[_FILE_NAME],
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
