"""EDF, EDF+ and BDF, read by edfio. Signals that are no lead of an ECG are dropped by name.

Of a discontinuous recording (EDF+D) the gaps are missing samples.
"""

import warnings
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lamae.ecg.leads import find_leads
from lamae.ecg.record import About, Reading
from lamae.readers.hospital.channels import (
    Channel,
    FormatError,
    check_size,
    read_channels,
    refusing,
)
from lamae.readers.hospital.person import age_between, sex_of
from lamae.readers.read_options import ReadOptions
from lamae.readers.regular_files import first_bytes
from lamae.readers.traces import MAX_SAMPLES

TITLE = "EDF or BDF"
MAX_BYTES = 2**29
"""Largest file that is read."""
MAX_BDF_BYTES = 2**26
"""Largest BDF file, whose samples of 24 bits are in memory whole."""
_BDF = b"\xff"
_LONGEST_ONSET = 64
_SAME_TIME = 0.5
"""Samples by which the times of data records may be rounded."""


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the standard leads of a file; raises RecordError."""
    with refusing(path, format_name=TITLE):
        notes: list[str] = []
        edf = _opened(path, notes)
        leads = find_leads([str(signal.label) for signal in edf.signals], options.leads_as)
        wanted = set(leads.rows.values())
        channels = [_channel(signal, row in wanted) for row, signal in enumerate(edf.signals)]
        if not edf.is_continuous:
            onsets = _onsets(path, edf.num_data_records)
            gaps = np.diff(onsets) - float(edf.data_record_duration)
            fastest = max((channel.sampling_rate for channel in channels), default=0.0)
            if np.abs(gaps).max(initial=0.0) * fastest > _SAME_TIME:
                notes.append(f"{gaps.sum():.6g} s between its parts were not recorded.")
                channels = [_with_gaps(channel, onsets) for channel in channels]
        return read_channels(path, channels, options, about=_about(edf), notes=notes)


def _opened(path: Path, notes: list[str]) -> Any:
    """Open a file; what it lacks of its last data record, or of all that it states, is noted."""
    import edfio

    wide = first_bytes(path, 1) == _BDF
    check_size(path, max_bytes=MAX_BDF_BYTES if wide else MAX_BYTES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        edf: Any
        if wide:
            edf = edfio.read_bdf(path, header_encoding="latin-1")
        else:
            edf = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
    said = " ".join(str(warning.message) for warning in caught)
    if "Incomplete data record" in said:
        notes.append("The last data record is incomplete, and was left out.")
    if "header indicates" in said:
        notes.append(f"The file has {edf.num_data_records} data records, and states others.")
    return edf


def _channel(signal: Any, wanted: bool) -> Channel:
    """Return a signal; of one that is no lead the samples are not read."""
    name, unit = str(signal.label), str(signal.physical_dimension)
    if not wanted:
        return Channel(name, np.empty(0, np.int16), 1.0, unit, 0.0)
    (low, high), (bottom, top) = signal.digital_range, signal.physical_range
    if high == low or top == bottom:
        raise FormatError("a signal without a range")
    step = (top - bottom) / (high - low)
    rate = float(signal.sampling_frequency)
    return Channel(name, signal.digital, step, unit, rate, zero=low - bottom / step)


def _onsets(path: Path, records: int) -> np.ndarray:
    """Return the seconds at which data records begin, by the annotation that begins each."""
    with path.open("rb") as file:
        head = file.read(256)
        count, width = int(head[252:256]), 3 if head[:1] == _BDF else 2
        fields = file.read(256 * count)
        labels = [fields[16 * n : 16 * n + 16].rstrip() for n in range(count)]
        lengths = [fields[216 * count + 8 * n :][:8] for n in range(count)]
        sizes = [width * int(length) for length in lengths]
        place = next(n for n, label in enumerate(labels) if label.endswith(b"Annotations"))
        first, onsets = int(head[184:192]) + sum(sizes[:place]), []
        for number in range(records):
            file.seek(first + number * sum(sizes))
            onset = file.read(min(sizes[place], _LONGEST_ONSET)).partition(b"\x14")[0]
            onsets.append(float(onset.partition(b"\x15")[0]))
    return np.array(onsets)


def _with_gaps(channel: Channel, onsets: np.ndarray) -> Channel:
    """Return a channel whose data records begin when they were recorded."""
    length = len(channel.values) // len(onsets)
    if not length:
        return channel
    starts = np.rint((onsets - onsets[0]) * channel.sampling_rate)
    if not (np.diff(starts) >= length - 1).all():  # a sample of rounding
        raise FormatError("data records that overlap in time")
    if starts[-1] + length > MAX_SAMPLES:
        raise FormatError(f"{onsets[-1] - onsets[0]:g} s from the first data record to the last")
    places = (starts.astype(np.int64)[:, None] + np.arange(length)).ravel()
    values = np.zeros(places[-1] + 1, channel.values.dtype)
    missing = np.ones(len(values), bool)
    values[places], missing[places] = channel.values, False
    return channel._replace(values=values, missing=missing)


def _about(edf: Any) -> About:
    """Return what a header says of a person; anonymised fields raise in edfio, or are X."""
    day = _stated(edf.recording, "startdate")
    day = day or _stated(edf, "startdate")
    clock = _stated(edf, "starttime")
    start = datetime.combine(day, clock) if isinstance(day, date) and clock else None
    born = _stated(edf.patient, "birthdate")
    code = str(_stated(edf.patient, "code") or "")
    identifier = code if code.upper() not in ("X", "") else None
    age = age_between(born, day)
    return About(identifier, age, sex_of(str(_stated(edf.patient, "sex") or "")), start)


def _stated(holder: Any, field: str) -> Any:
    try:
        return getattr(holder, field)
    except ValueError:  # edfio's word for an anonymised or damaged field
        return None
