"""Times of heart beats: rate variability, atrial fibrillation, premature beats."""

from typing import NamedTuple

import numpy as np

_LOW_FREQUENCY_HZ = 0.1
"""Frequency of the Mayer waves in blood pressure and heart rate."""
_SHORTEST_RR_S = 0.34
"""The refractory period of the AV node bounds the ventricular rate."""


class Beats(NamedTuple):
    """The beats of each record, some of them before its start and after its end."""

    time_s: np.ndarray
    """(records, beats) time of the R peak from the start of the record."""
    rr_s: np.ndarray
    """(records, beats) interval since the beat before."""
    premature: np.ndarray
    """(records, beats) True for a premature beat."""


class Respiration(NamedTuple):
    """The breathing of each record, which moves rate, amplitude and baseline."""

    frequency_hz: np.ndarray
    """(records,) breaths per second."""
    phase_rad: np.ndarray
    """(records,) phase at the start of the record."""

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """Return the state of breathing, -1 to 1, at times (records or 1, times)."""
        return np.sin(2 * np.pi * self.frequency_hz[:, None] * time_s + self.phase_rad[:, None])


def draw_respiration(records: int, generator: np.random.Generator) -> Respiration:
    """Draw 12 to 20 breaths per minute for each record."""
    return Respiration(
        generator.uniform(0.20, 0.33, records), generator.uniform(0, 2 * np.pi, records)
    )


def draw_beats(
    mean_rr_s: np.ndarray,
    respiration: Respiration,
    *,
    fibrillating: np.ndarray,
    premature: np.ndarray,
    compensated: np.ndarray,
    duration_s: float,
    generator: np.random.Generator,
) -> Beats:
    """Draw the times of the beats.

    Args:
        mean_rr_s: (records,) mean interval between beats.
        respiration: breathing of the records.
        fibrillating: (records,) True for atrial fibrillation.
        premature: (records,) True where some beats come early.
        compensated: (records,) True where the pause after them makes up for it, as it does when
            the sinus node keeps its time.
        duration_s: length of a record.
        generator: source of the draws.
    """
    records = len(mean_rr_s)
    count = int(np.ceil(duration_s / _SHORTEST_RR_S)) + 4
    rr_s = _sinus_rr(mean_rr_s, respiration, count, generator)
    rr_s = np.where(fibrillating[:, None], _fibrillation_rr(mean_rr_s, count, generator), rr_s)

    early = _every_few_beats(records, count, generator) & premature[:, None]
    coupling = generator.uniform(0.58, 0.68, (records, count))
    after = np.zeros_like(early)
    after[:, 1:] = early[:, :-1]
    pause = np.where(compensated[:, None], 2 - np.roll(coupling, 1, axis=1), 1.05)
    rr_s = rr_s * np.where(early, coupling, np.where(after, pause, 1.0))

    start_s = generator.uniform(-1.0, 0.0, records) * mean_rr_s - mean_rr_s
    return Beats(start_s[:, None] + np.cumsum(rr_s, axis=1), rr_s, early)


def _sinus_rr(
    mean_rr_s: np.ndarray, respiration: Respiration, count: int, generator: np.random.Generator
) -> np.ndarray:
    records = len(mean_rr_s)
    time_s = np.arange(count) * mean_rr_s[:, None]
    low_phase = generator.uniform(0, 2 * np.pi, (records, 1))
    low = np.sin(2 * np.pi * _LOW_FREQUENCY_HZ * time_s + low_phase)
    depths = generator.uniform(0.008, 0.030, (2, records, 1))
    jitter = generator.normal(0, 0.004, (records, count))
    return mean_rr_s[:, None] * (1 + depths[0] * respiration.at(time_s) + depths[1] * low + jitter)


def _fibrillation_rr(
    mean_rr_s: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    variation = generator.uniform(0.18, 0.28, (len(mean_rr_s), 1))
    shape = np.broadcast_to(variation**-2, (len(mean_rr_s), count))
    return np.maximum(mean_rr_s[:, None] * generator.gamma(shape) / shape, _SHORTEST_RR_S)


def _every_few_beats(records: int, count: int, generator: np.random.Generator) -> np.ndarray:
    first = generator.integers(4, 6, (records, 1))
    period = generator.integers(3, 7, (records, 1))
    beat = np.arange(count)
    return (beat >= first) & ((beat - first) % period == 0)
