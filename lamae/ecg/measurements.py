"""Heart rate, PR, QRS, QT, QTc and axis of a recording, as a cart measures them.

neurokit2 finds the beats and the peaks of P and T. The ends of the waves are found on a median beat
of all leads at once, as by the global measurement of carts (Kligfield et al., Circulation 2007):
those of QRS and P where the leads' common slope falls below a share of its largest, the end of T by
the tangent (Lepeschkin, Surawicz, Circulation 1952).
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS, select_leads
from lamae.ecg.signals import bandpass, interpolate_missing, resample
from lamae.packages import import_package

MEASURED_AT = 500
"""Samples per second at which a recording is measured."""
LEAST_BEATS = 4
"""Beats below which nothing but the heart rate is measured."""

_BAND_HZ = (0.5, 100.0)
_QRS_ONSET_SHARE, _QRS_END_SHARE, _P_SHARE = 0.03, 0.05, 0.2
"""Of the largest slope of a wave, where the wave begins or ends."""
_QUIET_S = 0.012
"""Time for which the slope stays below."""
_LONGEST_HALF_QRS_S, _LONGEST_HALF_P_S = 0.16, 0.09
_P_SPREAD_S = 0.012
"""Median distance of P peaks from their usual place, above which there is no P wave."""
_LEAST_P_MV, _LEAST_T_MV = 0.02, 0.04
_LATE_SLOPE = 0.5
"""Share of the steepest descent of T that a later descent has if it is T's last one."""
_LEAST_QRS_AREA_UVS = 1.0


class Measurements(NamedTuple):
    """Measurements of a recording; None where one cannot be measured."""

    heart_rate_bpm: float | None = None
    """Beats per minute, from the mean interval between beats."""
    pr_ms: float | None = None
    """Onset of P to onset of QRS; None without a P wave that precedes QRS by the same time."""
    qrs_ms: float | None = None
    """Onset to end of QRS."""
    qt_ms: float | None = None
    """Onset of QRS to end of T."""
    qtc_ms: float | None = None
    """QT by Fridericia's correction: QT / (RR / 1 s) ** (1/3)."""
    axis_deg: float | None = None
    """Frontal axis of the area of QRS, above -180 to 180; needs two limb leads."""


class _Beat(NamedTuple):
    """Median beat of the leads, in mV from the level before QRS."""

    signal_mv: np.ndarray
    """(leads, samples)."""
    peak: int
    """Sample of the R peak."""
    slope: np.ndarray
    """(samples,) root mean square of the leads' slopes, in mV per sample."""
    floor: float
    """The slope where nothing beats."""


def measure_ecg(signal_mv: np.ndarray, leads: Sequence[str], *, sampling_rate: int) -> Measurements:
    """Measure a recording.

    Args:
        signal_mv: (leads, samples) in millivolts; NaN where a sample is missing.
        leads: canonical names of the rows.
        sampling_rate: samples per second.

    Raises InputError where neurokit2 is not installed. A recording without leads, or with fewer
    than `LEAST_BEATS` beats, has None for what cannot be measured.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what scipy has deprecated
        neurokit = import_package("neurokit2")
    some = [row for row, lead in zip(signal_mv, leads, strict=True) if np.isfinite(row).any()]
    names = [n for n, row in zip(leads, signal_mv, strict=True) if np.isfinite(row).any()]
    if not some or signal_mv.shape[1] < 2 * sampling_rate:
        return Measurements()
    known = interpolate_missing(np.asarray(some, dtype=float))
    known = resample(known, source_rate=sampling_rate, target_rate=MEASURED_AT)
    low, high = _BAND_HZ
    known = bandpass(known, sampling_rate=MEASURED_AT, low_hz=low, high_hz=high)
    signal, present = select_leads(LEADS, known, names)
    shown = tuple(lead for lead, has in zip(LEADS, present, strict=True) if has)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neurokit2's own, on pandas and on means of nothing
        return _measure(neurokit, signal[present], shown)


def _measure(neurokit: Any, signal_mv: np.ndarray, leads: tuple[str, ...]) -> Measurements:
    independent = [row for row, lead in enumerate(leads) if lead in INDEPENDENT_LEADS]
    rows = signal_mv[independent] if independent else signal_mv
    peaks = _beats(neurokit, rows)
    if len(peaks) < 2:
        return Measurements()
    rr = float(np.mean(np.diff(peaks))) / MEASURED_AT
    soonest = int(np.quantile(np.diff(peaks), 0.25))  # the next beat, should it be premature
    found = Measurements(heart_rate_bpm=60 / rr)
    if len(peaks) < LEAST_BEATS:
        return found
    before, after = round(min(0.45, 0.6 * rr) * MEASURED_AT), round(0.85 * soonest)
    beat = _median_beat(rows, peaks, before, after)
    if beat is None:
        return found
    onset, end = _qrs(beat)
    if onset is None or end is None:
        return found
    p_peak, t_peak = _other_peaks(neurokit, rows, peaks)
    start = _p_onset(beat, onset, p_peak)
    stop = _t_end(beat, end, t_peak, soonest, start)
    to_ms = 1000 / MEASURED_AT
    qt = None if stop is None else (stop - onset) * to_ms
    whole = _median_beat(signal_mv, peaks, before, after)
    return found._replace(
        pr_ms=None if start is None else (onset - start) * to_ms,
        qrs_ms=(end - onset) * to_ms,
        qt_ms=qt,
        qtc_ms=None if qt is None else qt / rr ** (1 / 3),
        axis_deg=None if whole is None else _axis(whole.signal_mv, leads, onset, end),
    )


def _beats(neurokit: Any, rows: np.ndarray) -> np.ndarray:
    """Return the samples of the R peaks, found on the size of all leads together."""
    size = np.sqrt(np.square(rows).sum(axis=0))
    try:
        _, found = neurokit.ecg_peaks(
            neurokit.ecg_clean(size, sampling_rate=MEASURED_AT), sampling_rate=MEASURED_AT
        )
    except (IndexError, ValueError):  # a flat line, in which there is no peak
        return np.array([], dtype=int)
    return np.asarray(found["ECG_R_Peaks"], dtype=int)


def _median_beat(rows: np.ndarray, peaks: np.ndarray, before: int, after: int) -> _Beat | None:
    whole = [p for p in peaks if p >= before and p + after <= rows.shape[1]]
    if len(whole) < LEAST_BEATS - 1:
        return None
    beat = np.median([rows[:, p - before : p + after] for p in whole], axis=0)
    slope = np.sqrt(np.square(np.gradient(beat, axis=1)).mean(axis=0))
    slope = np.convolve(slope, np.ones(3) / 3, mode="same")
    return _Beat(beat, before, slope, float(np.quantile(slope, 0.1)))


def _qrs(beat: _Beat) -> tuple[int | None, int | None]:
    """Return where QRS begins and ends, by its slope."""
    reach, quiet = round(_LONGEST_HALF_QRS_S * MEASURED_AT), round(_QUIET_S * MEASURED_AT)
    low, high = max(0, beat.peak - reach), min(len(beat.slope), beat.peak + reach)
    largest = beat.slope[low:high].max()
    rises, falls = (
        beat.slope > max(share * largest, 2 * beat.floor)
        for share in (_QRS_ONSET_SHARE, _QRS_END_SHARE)
    )
    onset, end = beat.peak, beat.peak
    # Q and S turn within the complex: only a lasting quiet ends it.
    while onset > low and rises[max(0, onset - quiet) : onset].any():
        onset -= 1
    while end < high - 1 and falls[end + 1 : end + 1 + quiet].any():
        end += 1
    return onset if onset > low else None, end if end < high - 1 else None


def _other_peaks(
    neurokit: Any, rows: np.ndarray, peaks: np.ndarray
) -> tuple[float | None, float | None]:
    """Return the samples from R to the peaks of P and T, medians over beats and leads."""
    p_places, p_spreads, t_places = [], [], []
    for row in rows:
        row = neurokit.ecg_clean(row, sampling_rate=MEASURED_AT)
        _, found = neurokit.ecg_delineate(
            row, peaks, sampling_rate=MEASURED_AT, method="prominence"
        )
        p, t = (
            np.asarray(found[f"ECG_{wave}_Peaks"], dtype=float)[: len(peaks)] - peaks
            for wave in ("P", "T")
        )
        if np.isfinite(p).sum() >= len(peaks) / 2:
            p_places.append(np.nanmedian(p))
            p_spreads.append(np.nanmedian(np.abs(p - p_places[-1])))
        if np.isfinite(t).sum() >= len(peaks) / 2:
            t_places.append(np.nanmedian(t))
    has_p = p_spreads and np.median(p_spreads) <= _P_SPREAD_S * MEASURED_AT
    p_peak = float(np.median(p_places)) if has_p else None
    return p_peak, float(np.median(t_places)) if t_places else None


def _p_onset(beat: _Beat, onset: int, p_peak: float | None) -> int | None:
    """Return where P begins; None where it does not rise over its surroundings."""
    if p_peak is None:
        return None
    peak = beat.peak + round(p_peak)
    if not 0 < peak < onset:
        return None
    low = max(0, peak - round(_LONGEST_HALF_P_S * MEASURED_AT))
    rise = np.abs(beat.signal_mv[:, peak] - beat.signal_mv[:, low]).max()
    if rise < _LEAST_P_MV:
        return None
    steepest = low + int(np.argmax(beat.slope[low:peak]))
    least = max(_P_SHARE * beat.slope[steepest], 1.5 * beat.floor)
    below = np.flatnonzero(beat.slope[:steepest] <= least)
    return int(below[-1]) if len(below) else None


def _t_end(
    beat: _Beat, end: int, t_peak: float | None, soonest: int, p_onset: int | None
) -> int | None:
    """Return where the steepest tangent of T's last descent meets the level after it."""
    if t_peak is None:
        return None
    next_p = beat.peak + round(0.7 * soonest) if p_onset is None else p_onset + soonest
    stop = min(len(beat.slope), next_p)
    peak = max(beat.peak + round(t_peak), end)
    if stop - peak < 0.06 * MEASURED_AT:
        return None
    level = beat.signal_mv[:, stop - 1 - round(0.02 * MEASURED_AT) : stop].mean(axis=1)
    size = np.sqrt(np.square(beat.signal_mv - level[:, None]).mean(axis=0))
    size = np.convolve(size, np.ones(7) / 7, mode="same")
    if size[peak:stop].max() < _LEAST_T_MV:
        return None
    descent = -np.gradient(size)[peak : stop - 7]
    local = np.flatnonzero(
        (descent[1:-1] >= descent[:-2]) & (descent[1:-1] > descent[2:])
        & (descent[1:-1] >= _LATE_SLOPE * descent.max())
    )  # fmt: skip
    if not len(local):
        return None
    at = peak + 1 + int(local[-1])
    lowest = float(size[at:stop].min())
    meets = at + (size[at] - lowest) / descent[at - peak]
    return round(float(meets)) if meets < stop else None


def _axis(signal_mv: np.ndarray, leads: tuple[str, ...], onset: int, end: int) -> float | None:
    """Return the frontal axis of the area of QRS; leads I and aVF differ in scale by 2 / sqrt 3."""
    if not {"I", "aVF"} <= set(leads):
        return None
    area = {}
    for lead in ("I", "aVF"):
        row = signal_mv[leads.index(lead)]
        line = np.linspace(row[onset], row[end], end - onset + 1)
        area[lead] = float((row[onset : end + 1] - line).sum()) * 1000 / MEASURED_AT
    if math.hypot(*area.values()) < _LEAST_QRS_AREA_UVS:
        return None
    return math.degrees(math.atan2(2 / math.sqrt(3) * area["aVF"], area["I"]))
