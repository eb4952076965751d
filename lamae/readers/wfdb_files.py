"""WFDB records: a text header `.hea` and one or more binary signal files.

Formats: signal(5) of the WFDB Applications Guide. The wfdb package unpacks those in which samples
are no whole integers; sizes are checked before anything is allocated.
"""

import math
import stat
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from lamae.errors import InputError, RecordError
from lamae.leads import canonical_lead, lead_number
from lamae.readers.wfdb_header import Header, HeaderSignal, SegmentsError, parse_header
from lamae.record import MISSING, Reading, Record

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
_GAINS_PER_MV = (0.1, 1e8)
_MAX_BASELINE = 2**31 - 1
_UNITS_PER_MV = {"mv": 1.0, "uv": 1000.0, "µv": 1000.0, "v": 0.001}


class _Format(NamedTuple):
    bytes_per_sample: Fraction
    missing: int


_FORMATS = {
    "16": _Format(Fraction(2), -(2**15)),
    "24": _Format(Fraction(3), -(2**23)),
    "32": _Format(Fraction(4), -(2**31)),
    "61": _Format(Fraction(2), -(2**15)),
    "80": _Format(Fraction(1), -(2**7)),
    "160": _Format(Fraction(2), -(2**15)),
    "212": _Format(Fraction(3, 2), -(2**11)),
    "310": _Format(Fraction(4, 3), -(2**9)),
    "311": _Format(Fraction(4, 3), -(2**9)),
}

_ALIGNED = {"16": "<i2", "32": "<i4", "61": ">i2"}
"""Formats that numpy reads as they are."""

# What wfdb lets through when a header or a signal file is not what it expects.
_WFDB_ERRORS = (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError)


class _Signal(NamedTuple):
    """A standard lead, and its place among the signals of the header."""

    lead: str
    channel: int
    gain: float
    baseline: int


class _File(NamedTuple):
    """A signal file: the signals whose samples alternate in it, from `offset` bytes on."""

    path: Path
    channels: list[int]
    format: str
    offset: int


def read_wfdb(path: Path) -> Record:
    """Read the standard leads of a WFDB record as `read_wfdb_signals` does; drop the others."""
    return read_wfdb_signals(path).record


def read_wfdb_signals(path: Path) -> Reading:
    """Read a WFDB record; `path` is its header, with or without `.hea`.

    Returns the standard leads in canonical order as the file's own integers, where missing samples
    are `lamae.record.MISSING`; the others are dropped. Raises RecordError, with one of
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
        values = _read_values(stem, file, samples)
        _verify_checksums(stem, header, file, values)
        rows |= dict(zip(file.channels, _as_int16(stem, file, values), strict=True))
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
    )


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
        return parse_header(path.read_text(encoding="utf-8", errors="replace"))
    except SegmentsError as error:
        _refuse(stem, "unsupported_format", value=error, expected=expected)
    except (OSError, ValueError) as error:
        _refuse(stem, "unreadable_header", value=error, expected=expected)


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


def _signal_files(stem: Path, header: Header, wanted: set[int]) -> list[_File]:
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
        if layouts or form not in _FORMATS or (samples_per_frame, skew) != (1, 0) or not adjacent:
            value = (
                f"{name} in {group[0].format}, {'adjacent' if adjacent else 'scattered'} signals"
            )
            expected = f"one format of {', '.join(_FORMATS)}, one sample per frame, no skew"
            _refuse(stem, "unsupported_format", value=value, expected=expected)
        path = stem.parent / name
        files.append(_File(path, channels, form, offset))
    return files


def _number_of_samples(stem: Path, header: Header, files: list[_File]) -> int:
    """Return the samples of each lead, which all files hold and memory can."""
    held = min(_samples_held(stem, file) for file in files)
    samples = held if header.samples is None else header.samples
    if samples > MAX_SAMPLES:
        value = f"{samples} samples"
        _refuse(stem, "too_many_samples", value=value, expected=f"at most {MAX_SAMPLES}")
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


def _samples_held(stem: Path, file: _File) -> int:
    size = _file_size(file.path)
    if size is None:
        value = f"no {file.path.name}"
        _refuse(stem, "missing_signal_file", value=value, expected="the file beside its header")
    payload = max(0, size - file.offset)
    return math.floor(payload / _FORMATS[file.format].bytes_per_sample) // len(file.channels)


def _read_values(stem: Path, file: _File, samples: int) -> np.ndarray:
    """Return the integers of a file, (signals, samples), as they are stored."""
    try:
        aligned = file.format in _ALIGNED
        values = _read_aligned(file, samples) if aligned else _unpack(stem, file)
        if values.shape != (len(file.channels), samples):
            raise ValueError(f"holds {values.shape} signals and samples")
    except _WFDB_ERRORS as error:
        value = f"{file.path.name}: {type(error).__name__}: {error}"
        _refuse(stem, "unreadable_signal", value=value, expected=f"samples in {file.format}")
    return values


def _read_aligned(file: _File, samples: int) -> np.ndarray:
    count = samples * len(file.channels)
    values = np.fromfile(file.path, _ALIGNED[file.format], count=count, offset=file.offset)
    return values.reshape(-1, len(file.channels)).T


def _unpack(stem: Path, file: _File) -> np.ndarray:
    import wfdb  # a second, in each process, that the aligned formats do not need

    record = wfdb.rdrecord(
        str(stem), physical=False, channels=file.channels, smooth_frames=False, return_res=32
    )
    return np.stack(record.e_d_signal)


def _verify_checksums(stem: Path, header: Header, file: _File, values: np.ndarray) -> None:
    """Hold the sums of all samples, modulo 2**16, against those in the header, if it has them."""
    for channel, total in zip(file.channels, values.sum(axis=1, dtype=np.int64), strict=True):
        checksum = header.signals[channel].checksum
        if checksum is not None and (int(total) - checksum) % 2**16:
            value = f"{int(total) % 2**16} for signal {header.signals[channel].name}"
            expected, remedy = f"{checksum % 2**16}, as the header says", "Copy it again."
            _refuse(stem, "checksum_mismatch", value=value, expected=expected, remedy=remedy)


def _as_int16(stem: Path, file: _File, values: np.ndarray) -> np.ndarray:
    """Return int16 with `MISSING` for missing samples, if all others fit."""
    if file.format == "16":
        return values
    missing = values == _FORMATS[file.format].missing
    known = values[~missing]
    if known.size and max(int(known.max()), -int(known.min())) >= -MISSING:
        value = f"values from {known.min()} to {known.max()} in {file.path.name}"
        _refuse(stem, "unsupported_format", value=value, expected="values of 16 bits")
    return np.where(missing, MISSING, values).astype(np.int16)
