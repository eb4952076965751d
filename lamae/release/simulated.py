"""Simulated recordings that come with a release: of no person, and the same on every machine.

They are drawn without chance, so that `check` can draw them again and so prove where they are
from. What they look like is part of the format: change nothing here, add a second set instead.
"""

from types import MappingProxyType

import numpy as np

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS, derive_limb_lead
from lamae.ecg.record import MISSING, Record

_MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
_WAVES = (
    (-0.17, 0.022, (0.07, 0.11, -0.03)),
    (-0.028, 0.009, (-0.08, -0.04, 0.11)),
    (0.0, 0.011, (0.95, 0.80, -0.15)),
    (0.03, 0.012, (-0.12, -0.22, 0.85)),
    (0.27, 0.055, (0.24, 0.21, -0.12)),
)
"""P, Q, R, S and T: seconds from R, width in seconds, and dipole (left, down, back) in mV."""
_LEAD_VECTORS = MappingProxyType(
    {
        "I": (0.63, -0.24, 0.06),
        "II": (0.24, 1.07, -0.13),
        "V1": (-0.52, 0.16, -0.92),
        "V2": (0.04, 0.16, -1.39),
        "V3": (0.88, 0.10, -1.28),
        "V4": (1.21, 0.13, -0.60),
        "V5": (1.13, 0.13, -0.09),
        "V6": (0.83, 0.08, 0.23),
    }
)
_DRIFT_HZ, _HUM_HZ = 0.31, 50.0


def simulated_records(window_s: float) -> tuple[Record, ...]:
    """Return the three recordings of a model that reads windows of so many seconds.

    One at 500 Hz in the lead order of MIMIC-IV-ECG, shorter than a window and with a gap; one at
    100 Hz of eight leads, longer than a window; one at 250 Hz that lacks V6. Gains and baselines
    are different as well.
    """
    gap = _record("gap", _MIMIC_ORDER, 500, 0.6 * window_s, gain=200.0, baseline=0, beat_s=0.83)
    row, fifth = _MIMIC_ORDER.index("V2"), gap.digital.shape[1] // 5
    gap.digital[row, 2 * fifth : 2 * fifth + fifth // 4] = MISSING
    return (
        gap,
        _record(
            "long", INDEPENDENT_LEADS, 100, 1.5 * window_s, gain=1000.0, baseline=-40, beat_s=0.7
        ),
        _record("few", LEADS[:-1], 250, window_s, gain=400.0, baseline=512, beat_s=1.03),
    )


def _record(
    name: str,
    leads: tuple[str, ...],
    sampling_rate: int,
    duration_s: float,
    *,
    gain: float,
    baseline: int,
    beat_s: float,
) -> Record:
    time_s = np.arange(round(duration_s * sampling_rate)) / sampling_rate
    independent = _independent_leads(time_s, beat_s)
    rows = []
    for lead in leads:
        derived = derive_limb_lead(lead, independent, INDEPENDENT_LEADS)
        known = lead in INDEPENDENT_LEADS
        rows.append(independent[INDEPENDENT_LEADS.index(lead)] if known else derived)
    digital = np.round(np.array(rows) * gain + baseline).astype(np.int16)
    return Record(
        name=f"simulated-{name}",
        digital=digital,
        leads=leads,
        sampling_rate=sampling_rate,
        gain=(gain,) * len(leads),
        baseline=(baseline,) * len(leads),
    )


def _independent_leads(time_s: np.ndarray, beat_s: float) -> np.ndarray:
    """Return (8, samples) in mV: beats at an interval that breathes, slow drift, and mains hum."""
    beats = np.arange(-1, time_s[-1] / beat_s + 2) * beat_s + 0.4
    beats = beats + 0.03 * np.sin(1.7 * beats)
    dipole = np.zeros((3, len(time_s)))
    for at_s, width_s, vector in _WAVES:
        shape = np.exp(-0.5 * ((time_s - (beats + at_s)[:, None]) / width_s) ** 2).sum(axis=0)
        dipole += np.array(vector)[:, None] * shape
    signal = np.array([_LEAD_VECTORS[lead] for lead in INDEPENDENT_LEADS]) @ dipole
    phase = np.arange(len(signal))[:, None]
    drift = 0.08 * np.sin(2 * np.pi * _DRIFT_HZ * time_s + phase)
    hum = 0.01 * np.sin(2 * np.pi * _HUM_HZ * time_s + 2 * phase)
    return signal + drift + hum
