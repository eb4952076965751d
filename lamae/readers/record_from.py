"""A record of an array or data frame that is in memory already."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamae.ecg.amplitude import doubt_of_unit, median_amplitude_mv
from lamae.ecg.leads import LEADS, canonical_lead
from lamae.ecg.record import Record
from lamae.ecg.units import PER_MV, units_per_mv
from lamae.errors import InputError
from lamae.readers.arrays.array_layout import ArrayLayout, array_reading, check_type, leads_first
from lamae.readers.arrays.csv_layout import is_time
from lamae.readers.traces import SAMPLING_RATES, Trace, join_traces


def record_from(
    signal: Any,
    *,
    sampling_rate: float | int,
    leads: Sequence[str] | None = None,
    unit: str = "mV",
    leads_as: Mapping[str, str] | None = None,
    name: str = "signal",
) -> Record:
    """Make a record of a signal: an array of leads and samples in either order, or a data frame.

    An amplitude that fits another unit is a UserWarning. Raises InputError for names that are no
    leads, and RecordError for values of no use.

    Args:
        signal: numbers, NaN where a sample is missing; a data frame has a column for each lead.
        sampling_rate: samples per second; a fractional one is resampled to the nearest whole one.
        leads: names in any usual spelling, in the order of the rows; the columns of a data frame,
            and the twelve standard leads of an array, by default.
        unit: of the values: mV, uV, V or nV.
        leads_as: standard leads by other names, such as `{"ECG1": "II"}`.
        name: of the recording.
    """
    columns = [str(column) for column in getattr(signal, "columns", ())]
    if columns and leads is None:
        kept = [column for column in columns if not is_time(column)]
        signal, columns = signal[[c for c in signal.columns if str(c) in kept]], kept
    names = tuple(_lead(one, leads_as) for one in (leads or columns or LEADS))
    values = np.asarray(signal)
    values = values[None] if values.ndim == 1 and len(names) == 1 else values
    check_type(values.dtype, name)
    per_mv, (low, high) = _per_mv(unit), SAMPLING_RATES
    if not low <= sampling_rate <= high:
        raise InputError(
            "sampling_rate",
            value=sampling_rate,
            expected=f"{low} to {high} samples per second",
            remedy="Give the rate of the signal.",
        )
    rate = {"sampling_rate": round(sampling_rate), "leads": names}
    layout = ArrayLayout.model_validate(rate | {"unit": "uV" if per_mv == PER_MV["uv"] else "mV"})
    if columns:
        layout = layout.model_copy(update={"axes": "samples leads"})
    if not leads_first(values.shape, layout, leads=len(names), name=name):
        values = values.T
    if layout.unit == "mV":
        values = values / per_mv
    record = array_reading(values, layout, leads=names, name=name, files=()).record
    warn_of_unit(record)
    if sampling_rate == record.sampling_rate:
        return record
    traces = [
        Trace(lead, row, gain, baseline, sampling_rate)
        for lead, row, gain, baseline in zip(
            record.leads, record.digital, record.gain, record.baseline, strict=True
        )
    ]
    return join_traces(traces, name=name).record


def warn_of_unit(record: Record) -> None:
    """Warn of an amplitude that fits another unit or gain than the record has."""
    amplitude_mv = median_amplitude_mv(record)
    if doubt := doubt_of_unit(amplitude_mv):
        text = f"recording {record.name}: a median amplitude of {amplitude_mv:.3g} mV {doubt}"
        warnings.warn(text, stacklevel=3)


def _lead(name: str, leads_as: Mapping[str, str] | None) -> str:
    mapped = {key.strip().casefold(): lead for key, lead in (leads_as or {}).items()}
    return canonical_lead(mapped.get(name.strip().casefold(), name))


def _per_mv(unit: str) -> float:
    per_mv = units_per_mv(unit)
    if per_mv is None:
        raise InputError(
            "unit", value=repr(unit), expected="mV, uV, V or nV", remedy="Give one of them."
        )
    return per_mv
