"""A recording at another sampling rate, still in its own integers."""

from dataclasses import replace

import numpy as np

from lamae.ecg.record import MISSING, Record


def at_rate(record: Record, sampling_rate: int | None) -> Record:
    """Resample to `sampling_rate` and round to the recording's own gain; None changes nothing.

    A sample is missing where the nearest in time was. Rounding errs by half a unit at most; what
    a filter's overshoot takes beyond 16 bits is held at their limits.
    """
    if sampling_rate in (None, record.sampling_rate):
        return record
    # Half a second for scipy in each process, which few builds need.
    from lamae.ecg.signals import interpolate_missing, resample

    rates = {"source_rate": record.sampling_rate, "target_rate": int(sampling_rate or 0)}
    missing = record.digital == MISSING
    values = np.where(missing, np.nan, record.digital)
    known = ~missing.all(axis=1)
    values[known] = interpolate_missing(values[known])
    values[~known] = 0.0
    limits = np.iinfo(np.int16)
    digital = np.clip(np.rint(resample(values, **rates)), limits.min + 1, limits.max)
    nearest = np.arange(digital.shape[1]) * record.sampling_rate // rates["target_rate"]
    gone = missing[:, np.minimum(nearest, missing.shape[1] - 1)]
    digital = np.where(gone, MISSING, digital).astype(np.int16)
    return replace(record, digital=digital, sampling_rate=rates["target_rate"])
