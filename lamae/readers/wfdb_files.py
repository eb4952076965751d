"""WFDB records: a text header `.hea` and one or more binary signal files.

Sizes are checked before anything is allocated.
"""

import stat
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from lamae.ecg.leads import canonical_lead, lead_number
from lamae.ecg.record import Reading, Record
from lamae.errors import InputError, RecordError
from lamae.readers.wfdb_header import (
    Header,
    HeaderSignal,
    SegmentsError,
    comments_in,
    parse_header,
)
from lamae.readers.wfdb_signals import FORMATS, SignalFile, as_int16, read_values

Reason = Literal[
    "missing_header",
    "unreadable_header",
    "unsupported_format",
    "no_standard_lead",
    "duplicate_lead",
    "unknown_units",
    "implausible_gain",
    "implausible_sampling_rate",
    "too_many_samples",
    "missing_signal_file",
    "truncated_signal_file",
    "unreadable_signal",
    "checksum_mismatch",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason that a RecordError of `read_wfdb` can have."""

MAX_SAMPLES = 2**24
"""Largest number of samples of a lead: 4.6 hours at 1000 Hz."""
SAMPLING_RATES = (50, 10_000)
"""Slowest and fastest sampling rate that is believed, in samples per second."""

_MAX_HEADER_BYTES = 2**20
_MAX_SIGNAL_BYTES = 2**29
_GAINS_PER_MV = (0.1, 1e8)
_MAX_BASELINE = 2**31 - 1
_UNITS_PER_MV = {"mv": 1.0, "uv": 1000.0, "µv": 1000.0, "v": 0.001}


class _Signal(NamedTuple):
    """A standard lead, and its place among the signals of the header."""

    lead: str
    channel: int
    gain: float
    baseline: int


def read_wfdb(path: Path) -> Record:
    """Read the standard leads of a WFDB record as `read_wfdb_signals` does; drop the others."""
    return read_wfdb_signals(path).record


def read_wfdb_signals(path: Path) -> Reading:
    """Read a WFDB record; `path` is its header, with or without `.hea`.

    Returns the standard leads in canonical order as the file's own integers, where missing samples
    are `lamae.ecg.record.MISSING`; the others are dropped. Raises RecordError, with one of
    `REASONS`, for every record that cannot be read or whose checksum differs from its header's.
    """
    stem = path.with_suffix("") if path.suffix == ".hea" else path
    header = _read_header(stem)
    sampling_rate = _sampling_rate(stem, header)
    signals = _standard_signals(stem, header)
    files = _signal_files(stem, header, {signal.channel for signal in signals})
    samples = _number_of_samples(stem, header, files)
    rows: dict[int, np.ndarray] = {}
    for file in files:
        rows |= zip(file.channels, _rows(stem, header, file, samples), strict=True)
    record = Record(
        name=stem.name,
        digital=np.stack([rows[signal.channel] for signal in signals]),
        leads=tuple(signal.lead for signal in signals),
        sampling_rate=sampling_rate,
        gain=tuple(signal.gain for signal in signals),
        baseline=tuple(signal.baseline for signal in signals),
        comments=header.comments,
    )
    used = {signal.channel for signal in signals}
    return Reading(
        record,
        files=(stem.with_name(f"{stem.name}.hea"), *(file.path for file in files)),
        dropped=tuple(signal.name for i, signal in enumerate(header.signals) if i not in used),
        notes=header.notes,
    )


def read_wfdb_comments(path: Path) -> tuple[str, ...]:
    """Return the comments of a WFDB header, and none of a file that cannot be read.

    `path` is the header. For tables of labels, which need no more: `read_wfdb_signals` refuses the
    record, with a reason.
    """
    size = _file_size(path)
    if size is None or size > _MAX_HEADER_BYTES:
        return ()
    try:
        return comments_in(_header_text(path))
    except OSError:
        return ()


def _refuse(
    stem: Path, reason: Reason, *, value: object, expected: str, remedy: str = "Leave it out."
) -> NoReturn:
    raise RecordError(
        f"recording {stem}", reason=reason, value=value, expected=expected, remedy=remedy
    )


def _read_header(stem: Path) -> Header:
    path = stem.with_name(f"{stem.name}.hea")
    expected = "a WFDB header (header(5)) of one segment"
    size = _file_size(path)
    if size is None:
        _refuse(stem, "missing_header", value=f"no {path.name}", expected=expected)
    try:
        if size > _MAX_HEADER_BYTES:
            raise ValueError(f"more than {_MAX_HEADER_BYTES} bytes")
        return parse_header(_header_text(path))
    except SegmentsError as error:
        _refuse(stem, "unsupported_format", value=f"{path.name}: {error}", expected=expected)
    except (OSError, ValueError) as error:
        _refuse(stem, "unreadable_header", value=f"{path.name}: {error}", expected=expected)


def _header_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _sampling_rate(stem: Path, header: Header) -> int:
    low, high = SAMPLING_RATES
    if not (low <= header.sampling_rate <= high and float(header.sampling_rate).is_integer()):
        value = f"{header.sampling_rate} samples per second"
        expected = f"a whole number from {low} to {high}"
        _refuse(stem, "implausible_sampling_rate", value=value, expected=expected)
    return int(header.sampling_rate)


def _standard_signals(stem: Path, header: Header) -> list[_Signal]:
    """Return the standard leads in canonical order."""
    found: dict[str, _Signal] = {}
    for channel, signal in enumerate(header.signals):
        try:
            lead = canonical_lead(signal.name)
        except InputError:
            continue
        if lead in found:
            value = f"{lead} twice, again as signal {channel + 1}"
            _refuse(stem, "duplicate_lead", value=value, expected="each lead once")
        found[lead] = _Signal(lead, channel, _gain_per_mv(stem, signal), signal.baseline)
    if not found:
        value = f"signals {', '.join(signal.name for signal in header.signals) or 'none'}"
        _refuse(stem, "no_standard_lead", value=value, expected="at least one of the twelve leads")
    return sorted(found.values(), key=lambda signal: lead_number(signal.lead))


def _gain_per_mv(stem: Path, signal: HeaderSignal) -> float:
    per_mv = _UNITS_PER_MV.get(signal.units.lower())
    if per_mv is None:
        value = f"{signal.units!r} of signal {signal.name}"
        _refuse(stem, "unknown_units", value=value, expected="mV, uV or V")
    gain, (low, high) = signal.gain * per_mv, _GAINS_PER_MV
    if not low <= abs(gain) <= high or abs(signal.baseline) > _MAX_BASELINE:
        value = f"{gain:g} units per mV around {signal.baseline} in signal {signal.name}"
        expected = f"{low:g} to {high:g} units per mV around a 32-bit integer"
        _refuse(stem, "implausible_gain", value=value, expected=expected)
    return gain


def _signal_files(stem: Path, header: Header, wanted: set[int]) -> list[SignalFile]:
    """Return the files that hold a wanted signal, if each is of a kind that is read here."""
    groups: dict[str, list[int]] = {}
    for channel, signal in enumerate(header.signals):
        groups.setdefault(signal.file, []).append(channel)
    files = []
    for name, channels in groups.items():
        if wanted.isdisjoint(channels):
            continue
        group = [header.signals[channel] for channel in channels]
        layouts = {(s.format, s.samples_per_frame, s.skew, s.offset) for s in group}
        form, samples_per_frame, skew, offset = layouts.pop()
        adjacent = channels == list(range(channels[0], channels[-1] + 1))
        if layouts or form not in FORMATS or (samples_per_frame, skew) != (1, 0) or not adjacent:
            value = (
                f"{name} in {group[0].format}, {'adjacent' if adjacent else 'scattered'} signals"
            )
            expected = f"one format of {', '.join(FORMATS)}, one sample per frame, no skew"
            _refuse(stem, "unsupported_format", value=value, expected=expected)
        path = stem.parent / name
        files.append(SignalFile(path, channels, form, offset))
    return files


def _number_of_samples(stem: Path, header: Header, files: list[SignalFile]) -> int:
    """Return the samples of each lead, which all files hold and memory can."""
    held = min(_samples_held(stem, file) for file in files)
    samples = held if header.samples is None else header.samples
    largest = max(file.bytes_of(samples) for file in files)
    if samples > MAX_SAMPLES or largest > _MAX_SIGNAL_BYTES:
        value = f"{samples} samples, {largest} bytes in a file"
        expected = f"at most {MAX_SAMPLES} samples, {_MAX_SIGNAL_BYTES} bytes"
        _refuse(stem, "too_many_samples", value=value, expected=expected)
    if not 0 < samples <= held:
        value = f"{held} samples in its signal files"
        expected = f"{header.samples or 'some'}, as the header says"
        remedy = "Copy it again."
        _refuse(stem, "truncated_signal_file", value=value, expected=expected, remedy=remedy)
    return samples


def _file_size(path: Path) -> int | None:
    """Return the bytes of a file, or None where there is none, as under too long a name."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _samples_held(stem: Path, file: SignalFile) -> int:
    size = _file_size(file.path)
    if size is None:
        value = f"no {file.path.name}"
        _refuse(stem, "missing_signal_file", value=value, expected="the file beside its header")
    return file.samples_in(size)


def _rows(stem: Path, header: Header, file: SignalFile, samples: int) -> np.ndarray:
    """Return the samples of a file's signals as int16 (signals, samples)."""
    try:
        values = read_values(stem, file, samples)
    except ValueError as error:
        value = f"{file.path.name}: {error}"
        _refuse(stem, "unreadable_signal", value=value, expected=f"samples in {file.format}")
    _verify_checksums(stem, header, file, values)
    try:
        return as_int16(file, values)
    except ValueError as error:
        value = f"{file.path.name}: {error}"
        _refuse(stem, "unsupported_format", value=value, expected="values of 16 bits")


def _verify_checksums(stem: Path, header: Header, file: SignalFile, values: np.ndarray) -> None:
    """Hold the sums of all samples, modulo 2**16, against those in the header, if it has them."""
    for channel, total in zip(file.channels, values.sum(axis=1, dtype=np.int64), strict=True):
        checksum = header.signals[channel].checksum
        if checksum is not None and (int(total) - checksum) % 2**16:
            value = f"{int(total) % 2**16} for signal {header.signals[channel].name}"
            expected, remedy = f"{checksum % 2**16}, as the header says", "Copy it again."
            _refuse(stem, "checksum_mismatch", value=value, expected=expected, remedy=remedy)
