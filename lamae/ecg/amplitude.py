"""The amplitude of a recording, and what a wrong one says of its unit."""

import math

import numpy as np

from lamae.ecg.record import MISSING, Record

ORDINARY_MV = (0.25, 3.0)
"""Least and largest amplitude: of 19,602 recordings of PTB-XL none is below, and 11 are above."""

_USUAL_MV = (0.4, 2.5)
"""Of 500 recordings of PTB-XL and of the Challenges, all but one lie between."""
_CAUSES = {
    1e-3: "fits microvolts read as millivolts (unit=uV)",
    1e3: "fits millivolts read as microvolts (unit=mV)",
    0.1: "would be usual if it were ten times smaller: check the gain",
    10.0: "would be usual if it were ten times larger: check the gain",
}
"""Causes by the factor that makes an amplitude a usual one."""


def window_extremes(digital: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest integer of each whole window, (leads, windows)."""
    leads, samples = digital.shape
    windows = digital[:, : samples // window * window].reshape(leads, -1, window)
    return windows.min(axis=2), windows.max(axis=2)


def median_amplitude_mv(record: Record) -> float:
    """Return the range within a second, median over seconds, then over leads, in mV.

    Seconds in which a lead stands still are left out; NaN where there is no other. Missing samples
    do not count.
    """
    digital = record.digital
    lowest, highest = window_extremes(digital, min(record.sampling_rate, digital.shape[1]))
    if (lowest == MISSING).any():
        filled = np.where(digital == MISSING, -(MISSING + 1), digital)
        lowest, _ = window_extremes(filled, min(record.sampling_rate, digital.shape[1]))
    ranges = highest.astype(np.float64) - lowest
    still = ranges <= 0
    if still.any():
        ranges[still] = np.nan
        ranges = ranges[~still.all(axis=1)]
        gain = np.abs(record.gain)[~still.all(axis=1)]
        return float(np.median(np.nanmedian(ranges, axis=1) / gain)) if len(ranges) else math.nan
    return float(np.median(np.median(ranges, axis=1) / np.abs(record.gain)))


def doubt_of_unit(amplitude_mv: float) -> str | None:
    """Return what an amplitude of `median_amplitude_mv` says of a wrong unit or gain, if anything.

    None of an ordinary amplitude, and of one that no usual mistake explains.
    """
    low, high = ORDINARY_MV
    if math.isnan(amplitude_mv) or low <= amplitude_mv <= high:
        return None
    least, largest = _USUAL_MV
    fits = (cause for factor, cause in _CAUSES.items() if least <= amplitude_mv * factor <= largest)
    return next(fits, None)
