"""Position of every wave of every beat, and the measurements of a perfect cart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shards.simulator.dipole import Section, frontal_axis, wave_table
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.patients import Traits
from shards.simulator.rhythm import Beats

TABLE = wave_table([m for c in CLASSES.values() for m in (*c.beats, *c.premature)])
"""Every morphology of every class, the dominant ones of a class before the premature ones."""

WAVES = TABLE.at.shape[1]
"""Waves of a beat, unused ones included."""

_R_PEAK = 0.49
"""Place of the R peak in the QRS complex."""
_VENTRICULAR_QRS_S = 0.150
_ATRIAL_PR_S = 0.125
_MEMORY = 0.8
"""Share of the mean interval, against the last one, in a beat's QT (Malik et al., AJP 2008)."""


class Heartbeats(NamedTuple):
    """Morphology and sections of the beats of each record."""

    morphology: np.ndarray
    """(records, beats) row of `TABLE`."""
    start_s: np.ndarray
    """(records, beats, 3) start of each section from the start of the record."""
    length_s: np.ndarray
    """(records, beats, 3) length of each section."""


class Waves(NamedTuple):
    """All waves of each record, as `render_waves` takes them."""

    centre_s: np.ndarray
    """(records, waves) time of the peak."""
    rise_s: np.ndarray
    """(records, waves) standard deviation before the peak."""
    fall_s: np.ndarray
    """(records, waves) standard deviation after the peak."""
    vector: np.ndarray
    """(records, waves, 4) at the peak in mV: the dipole, and the source near V1-V3."""


class Intervals(NamedTuple):
    """True intervals of the dominant beat, (records,) each; NaN where there is no P wave."""

    rr_ms: np.ndarray
    """Mean interval between beats."""
    p_ms: np.ndarray
    """Onset to end of the P wave."""
    pr_ms: np.ndarray
    """Onset of P to onset of QRS."""
    qrs_ms: np.ndarray
    """Onset to end of QRS."""
    qt_ms: np.ndarray
    """Onset of QRS to end of T."""
    qtc_ms: np.ndarray
    """QT by Fridericia's correction to an interval of 1 s."""
    p_axis_deg: np.ndarray
    """Frontal axis of the area of the P wave."""
    qrs_axis_deg: np.ndarray
    """Frontal axis of the area of the QRS complex."""
    t_axis_deg: np.ndarray
    """Frontal axis of the area of the ST segment and T wave."""


def lay_out_beats(codes: Sequence[str], traits: Traits, beats: Beats) -> Heartbeats:
    """Give each beat its morphology and the times of its sections."""
    dominant, premature = _first_rows(codes)
    early = beats.premature
    morphology = np.where(
        early,
        (premature + traits.premature_morphology)[:, None],
        (dominant + traits.morphology)[:, None],
    )
    has_p = (TABLE.section[morphology] == Section.P).any(axis=-1)
    ventricular, atrial = early & ~has_p, early & has_p
    qrs_s = np.where(ventricular, _VENTRICULAR_QRS_S, traits.qrs_s[:, None])
    pr_s = np.where(atrial, _ATRIAL_PR_S, traits.pr_s[:, None])
    repolarization_s = _qt(traits, beats) - traits.qrs_s[:, None]
    onset_s = beats.time_s - _R_PEAK * qrs_s
    start_s = np.stack([onset_s - pr_s, onset_s, onset_s + qrs_s], axis=-1)
    p_s = np.broadcast_to(traits.p_s[:, None], qrs_s.shape)
    return Heartbeats(morphology, start_s, np.stack([p_s, qrs_s, repolarization_s], axis=-1))


def place_waves(heartbeats: Heartbeats, traits: Traits) -> Waves:
    """Turn fractions of sections into times, and give the waves the patient's sizes."""
    morphology = heartbeats.morphology
    records = len(morphology)
    section = TABLE.section[morphology]
    length_s = np.take_along_axis(heartbeats.length_s, section, axis=-1)
    start_s = np.take_along_axis(heartbeats.start_s, section, axis=-1)
    width = np.take_along_axis(traits.width[:, None], section, axis=-1)
    vector = _own_vectors(traits)[np.arange(records)[:, None], morphology]
    return Waves(
        (start_s + TABLE.at[morphology] * length_s).reshape(records, -1),
        (width * TABLE.rise[morphology] * length_s).reshape(records, -1),
        (width * TABLE.fall[morphology] * length_s).reshape(records, -1),
        vector.reshape(records, -1, vector.shape[-1]),
    )


def true_intervals(
    heartbeats: Heartbeats, traits: Traits, beats: Beats, *, duration_s: float
) -> Intervals:
    """Measure the dominant beats that lie in the record."""
    within = (beats.time_s >= 0) & (beats.time_s < duration_s)
    rr_s = _mean_where(beats.rr_s, within)
    qt_s = _mean_where(_qt(traits, beats), within & ~beats.premature)
    row = heartbeats.morphology[:, 0]  # no record starts with a premature beat
    section = TABLE.section[row]
    vector = _own_vectors(traits)[np.arange(len(row)), row]
    area = (TABLE.rise + TABLE.fall)[row][..., None] * vector[..., :3]
    axes = [frontal_axis((area * (section == part)[..., None]).sum(axis=1)) for part in Section]
    no_p = np.where((section == Section.P).any(axis=1), 1.0, np.nan)
    return Intervals(
        rr_ms=1000 * rr_s,
        p_ms=1000 * traits.p_s * no_p,
        pr_ms=1000 * traits.pr_s * no_p,
        qrs_ms=1000 * traits.qrs_s,
        qt_ms=1000 * qt_s,
        qtc_ms=1000 * qt_s / np.cbrt(rr_s),
        p_axis_deg=axes[Section.P] * no_p,
        qrs_axis_deg=axes[Section.QRS],
        t_axis_deg=axes[Section.T],
    )


def fibrillatory_waves(
    fibrillating: np.ndarray,
    *,
    sampling_rate: int,
    samples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the atrial dipole, (records, 3, samples) in mV, zero where nothing fibrillates.

    A sawtooth of 5 to 8 Hz whose rate and height drift (Stridh and Sornmo, IEEE TBME 2001),
    largest in V1.
    """
    records = int(fibrillating.sum())
    time_s = np.arange(samples) / sampling_rate
    drift_hz, phase, height = generator.uniform(
        [[0.1], [0.0], [0.035]], [[0.4], [2 * np.pi], [0.065]], (records, 3, 1)
    ).transpose(1, 0, 2)
    rate_hz = generator.uniform(5.0, 8.0, (records, 1))
    drift_angle = 2 * np.pi * drift_hz * time_s + phase
    drift = np.sin(drift_angle)
    angle = 2 * np.pi * rate_hz * time_s + 2.0 * drift + phase
    wave = height * (1 + 0.35 * np.cos(drift_angle))
    wave = wave * (np.sin(angle) - np.sin(2 * angle) / 2 + np.sin(3 * angle) / 3)
    direction = np.array([-0.2, 0.7, -0.9]) + generator.normal(0, 0.15, (records, 3))
    dipole = np.zeros((len(fibrillating), 3, samples), dtype=np.float32)
    dipole[fibrillating] = direction[..., None] * wave[:, None]
    return dipole


def _qt(traits: Traits, beats: Beats) -> np.ndarray:
    """Return QT of each beat; it follows the rate with a delay."""
    rr_s = _MEMORY * traits.rr_s[:, None] + (1 - _MEMORY) * beats.rr_s
    return traits.qtc_s[:, None] * np.cbrt(rr_s)


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Average rows over the chosen places, or over all where a row has none."""
    chosen = chosen | ~chosen.any(axis=1, keepdims=True)
    return np.mean(values, axis=1, where=chosen)


def _own_vectors(traits: Traits) -> np.ndarray:
    """Return (records, morphologies, waves, 4): the table, turned and scaled for each record."""
    turned = np.einsum("rij,mwj->rmwi", traits.turn, TABLE.vector[..., :3])
    near = np.broadcast_to(TABLE.vector[..., 3:], (*turned.shape[:-1], 1))
    return np.concatenate([turned, near], axis=-1) * traits.amplitude[:, None, :, None]


def _first_rows(codes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of `TABLE` where each record's dominant and premature beats start."""
    row = 0
    rows = {}
    for code, ecg_class in CLASSES.items():
        rows[code] = (row, row + len(ecg_class.beats))
        row += len(ecg_class.beats) + len(ecg_class.premature)
    dominant, premature = np.array([rows[code] for code in codes]).T
    return dominant, premature
