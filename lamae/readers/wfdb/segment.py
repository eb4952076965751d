"""One WFDB header with its signal files: the standard leads, each with its own rate and scale.

Sizes are checked before anything is allocated.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from lamae.ecg.leads import RepeatedLeadError, find_leads
from lamae.ecg.units import units_per_mv
from lamae.readers.regular_files import decoded, file_size, read_bounded
from lamae.readers.traces import MAX_SAMPLES, Trace, refuse
from lamae.readers.wfdb.header import Header, HeaderSignal
from lamae.readers.wfdb.signals import FORMATS, SignalFile

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
"""Every reason that a RecordError of a WFDB record can have."""

Checksums = Literal["strict", "warn"]
"""A checksum that differs refuses the recording, or is noted."""

_MAX_HEADER_BYTES = 2**20
_MAX_SIGNAL_BYTES = 2**29
_GAINS_PER_MV = (0.1, 1e8)
_MAX_BASELINE = 2**31 - 1


class WfdbOptions(NamedTuple):
    """The user's word on what headers say."""

    leads_as: Mapping[str, str] | None = None
    """Standard leads by the names of signals, before all other names."""
    unit: str | None = None
    """Unit of the values, whatever the headers say."""
    checksums: Checksums = "strict"
    """Consequence of a checksum that differs."""


class SegmentTraces(NamedTuple):
    """The standard leads of one header."""

    traces: tuple[Trace, ...]
    """In canonical order."""
    frames: int
    """Frames of the record."""
    files: tuple[Path, ...]
    """The header and the signal files that were read."""
    dropped: tuple[str, ...]
    """Names of the other signals."""
    notes: tuple[str, ...]
    """Changes and assumptions, one sentence each."""


class _Signal(NamedTuple):
    """A standard lead, and its place among the signals of the header."""

    lead: str
    channel: int
    gain: float


def header_path(path: Path) -> Path:
    """Return the header of a record that is named with its ending, in any case, or without."""
    if path.suffix.lower() == ".hea":
        return path
    lower, upper = (path.with_name(f"{path.name}{suffix}") for suffix in (".hea", ".HEA"))
    return upper if file_size(lower) is None and file_size(upper) is not None else lower


def header_text(header: Path) -> str:
    """Return the text of a header; raises OSError for what is no file, or a larger one."""
    return decoded(read_bounded(header, max_bytes=_MAX_HEADER_BYTES))


def read_segment(path: Path, header: Header, options: WfdbOptions) -> SegmentTraces:
    """Read the standard leads of a header at `path`; raises RecordError with one of `REASONS`."""
    stem = path.with_suffix("")
    names = [signal.name for signal in header.signals]
    try:
        found = find_leads(names, options.leads_as)
    except RepeatedLeadError as error:
        _refuse(stem, "duplicate_lead", value=error.value, expected="each lead once")
    if not found.rows:
        value = f"signals {', '.join(names)[:200] or 'none'}"
        expected = "at least one of the twelve leads; leads_as names others"
        _refuse(stem, "no_standard_lead", value=value, expected=expected)
    signals = [
        _Signal(lead, channel, _gain_per_mv(stem, header.signals[channel], options.unit))
        for lead, channel in found.rows.items()
    ]
    files = _signal_files(stem, header, set(found.rows.values()))
    frames = _number_of_frames(stem, header, files)
    rows: dict[int, np.ndarray] = {}
    notes = [*header.notes, *found.notes]
    for file in files:
        rows |= zip(file.channels, _rows(stem, header, file, frames), strict=True)
    notes += _checksum_notes(stem, header, rows, options.checksums)
    traces = tuple(_trace(header, signal, rows[signal.channel]) for signal in signals)
    paths = (path, *(file.path for file in files))
    return SegmentTraces(traces, frames, paths, found.dropped, tuple(notes))


def _refuse(
    stem: Path, reason: Reason, *, value: object, expected: str, remedy: str = "Leave it out."
) -> NoReturn:
    refuse(str(stem), reason, value=value, expected=expected, remedy=remedy)


def _gain_per_mv(stem: Path, signal: HeaderSignal, unit: str | None) -> float:
    per_mv = units_per_mv(unit or signal.units)
    if per_mv is None:
        value = f"{unit or signal.units!r} of signal {signal.name}"
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
        _check_group(stem, name, group)
        if channels != list(range(channels[0], channels[-1] + 1)):
            value = f"signals {', '.join(str(channel + 1) for channel in channels)} in {name}"
            _refuse(stem, "unsupported_format", value=value, expected="signals in lines one by one")
        widths = tuple(signal.samples_per_frame for signal in group)
        path = _found(stem.parent / name)
        files.append(SignalFile(path, channels, group[0].format, group[0].offset, widths))
    return files


def _check_group(stem: Path, name: str, group: list[HeaderSignal]) -> None:
    """Refuse a file for the one thing that is not read here."""
    formats = sorted({signal.format for signal in group})
    if len(formats) > 1 or formats[0] not in FORMATS:
        value = f"{name} in format {' and '.join(formats)}"
        _refuse(stem, "unsupported_format", value=value, expected=f"one of {', '.join(FORMATS)}")
    if len({signal.offset for signal in group}) > 1:
        value = f"{name} from several bytes on"
        _refuse(stem, "unsupported_format", value=value, expected="one offset for all its signals")
    frame = sum(signal.samples_per_frame for signal in group)
    if not all(signal.samples_per_frame for signal in group) or frame > MAX_SAMPLES:
        value = f"{name} in frames of {frame} samples"
        _refuse(stem, "unsupported_format", value=value, expected="some samples of each signal")


def _found(path: Path) -> Path:
    """Return a file by its name, or by the same one in capitals or small letters."""
    others = (path.with_name(path.name.lower()), path.with_name(path.name.upper()))
    return next((file for file in (path, *others) if file_size(file) is not None), path)


def _number_of_frames(stem: Path, header: Header, files: list[SignalFile]) -> int:
    """Return the frames of the record, which all files hold and memory can."""
    held = min(_frames_held(stem, file) for file in files)
    frames = held if header.samples is None else header.samples
    widest = max(max(file.samples_per_frame) for file in files)
    largest = max(file.bytes_of(frames) for file in files)
    if frames * widest > MAX_SAMPLES or largest > _MAX_SIGNAL_BYTES:
        value = f"{frames * widest} samples, {largest} bytes in a file"
        expected = f"at most {MAX_SAMPLES} samples, {_MAX_SIGNAL_BYTES} bytes"
        _refuse(stem, "too_many_samples", value=value, expected=expected)
    if not 0 < frames <= held:
        value = f"{held} samples in its signal files"
        expected = f"{header.samples or 'some'}, as the header says"
        remedy = "Copy it again."
        _refuse(stem, "truncated_signal_file", value=value, expected=expected, remedy=remedy)
    return frames


def _frames_held(stem: Path, file: SignalFile) -> int:
    size = file_size(file.path)
    if size is None:
        value = f"no {file.path.name}"
        _refuse(stem, "missing_signal_file", value=value, expected="the file beside its header")
    return file.frames_in(size)


def _rows(stem: Path, header: Header, file: SignalFile, frames: int) -> list[np.ndarray]:
    try:
        return file.read(frames)
    except (OSError, ValueError) as error:
        value = f"{file.path.name}: {error}"
        _refuse(stem, "unreadable_signal", value=value, expected=f"samples in {file.format}")


def _checksum_notes(
    stem: Path, header: Header, rows: Mapping[int, np.ndarray], policy: Checksums
) -> list[str]:
    """Hold the sums of all samples, modulo 2**16, against those in the header, if it has them.

    Zeros for all signals are fields that nobody filled.
    """
    checksums = [signal.checksum for signal in header.signals]
    sums = {channel: int(row.sum(dtype=np.int64)) % 2**16 for channel, row in rows.items()}
    wrong = [c for c, found in sums.items() if (checksums[c] or 0) % 2**16 != found]
    wrong = [channel for channel in wrong if checksums[channel] is not None]
    if not wrong:
        return []
    if not any(checksums):
        return ["The header's checksums are all 0, and were not compared."]
    if policy == "warn":
        listed = ", ".join(header.signals[channel].name for channel in wrong)
        return [f"The checksum of {listed} is not that of the header."]
    value = f"checksum {sums[wrong[0]]} of signal {header.signals[wrong[0]].name}"
    expected = f"{(checksums[wrong[0]] or 0) % 2**16}, as the header says"
    remedy = "Copy it again, or keep it by checksums=warn."
    _refuse(stem, "checksum_mismatch", value=value, expected=expected, remedy=remedy)


def _trace(header: Header, signal: _Signal, values: np.ndarray) -> Trace:
    """Return a lead at its own rate, its skew undone."""
    line = header.signals[signal.channel]
    missing = None
    if line.format not in ("16", "61", "160", "516"):
        missing = values == FORMATS[line.format].missing
        if values.dtype == np.int16 and not missing.any():
            missing = None
    if line.skew:
        late = min(line.skew * line.samples_per_frame, len(values))
        known = np.zeros(len(values), bool) if missing is None else missing
        if missing is None and values.dtype == np.int16:
            known = values == FORMATS["16"].missing
        missing = np.concatenate([known[late:], np.ones(late, bool)])
        values = np.concatenate([values[late:], np.zeros(late, values.dtype)])
    rate = header.sampling_rate * line.samples_per_frame
    return Trace(signal.lead, values, signal.gain, line.baseline, rate, missing)
