"""EDF, EDF+ and BDF, read by edfio. Signals that are no lead of an ECG are dropped by name."""

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

TITLE = "EDF or BDF"
MAX_BYTES = 2**29
"""Largest file that is read."""


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the standard leads of a file; raises RecordError."""
    with refusing(path, format_name=TITLE):
        import edfio

        check_size(path, max_bytes=MAX_BYTES)
        edf = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
        leads = find_leads([str(signal.label) for signal in edf.signals], options.leads_as)
        wanted = set(leads.rows.values())
        channels = [_channel(signal, row in wanted) for row, signal in enumerate(edf.signals)]
        return read_channels(path, channels, options, about=_about(edf))


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
