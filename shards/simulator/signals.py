"""Signals of simulated recordings: the heart's sources and noise, seen by twelve leads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lamae.errors import InputError
from shards.simulator.dipole import all_leads, lead_matrix, render_waves
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.heartbeat import (
    WAVES,
    Intervals,
    fibrillatory_waves,
    lay_out_beats,
    place_waves,
    true_intervals,
)
from shards.simulator.noise import draw_noise
from shards.simulator.patients import draw_traits
from shards.simulator.rhythm import draw_beats, draw_respiration
from shards.simulator.settings import NoiseSettings

_BREATHING_DEPTH = 0.04


class Simulated(NamedTuple):
    """Simulated records and what is true of them."""

    signal_mv: np.ndarray
    """float32 (records, 12 of LEADS, samples)."""
    intervals: Intervals
    """True intervals and axes of each record."""
    r_peak_s: tuple[np.ndarray, ...]
    """Times of the R peaks in each record."""


def simulate_signals(
    codes: Sequence[str],
    *,
    generator: np.random.Generator,
    sampling_rate: int = 500,
    duration_s: float = 10.0,
    noise: NoiseSettings | None = None,
    patients: Sequence[int] | None = None,
) -> Simulated:
    """Simulate one record per class code.

    Args:
        codes: classes, each a key of `CLASSES`.
        generator: source of all draws.
        sampling_rate: samples per second.
        duration_s: length of a record.
        noise: levels of the noise; None for those of `NoiseSettings`.
        patients: number of each record's patient; None for one patient per record.

    Raises InputError for an unknown class.
    """
    _check_codes(codes)
    samples = round(duration_s * sampling_rate)
    numbers = np.arange(len(codes)) if patients is None else np.asarray(patients)
    traits = draw_traits(codes, numbers, waves=WAVES, generator=generator)
    respiration = draw_respiration(len(codes), generator)
    fibrillating = np.array([CLASSES[code].fibrillating for code in codes])
    beats = draw_beats(
        traits.rr_s,
        respiration,
        fibrillating=fibrillating,
        premature=np.array([bool(CLASSES[code].premature) for code in codes]),
        compensated=np.array([code == "PVC" for code in codes]),
        duration_s=duration_s,
        generator=generator,
    )
    heartbeats = lay_out_beats(codes, traits, beats)
    waves = place_waves(heartbeats, traits)
    sources = render_waves(*waves, sampling_rate=sampling_rate, samples=samples)
    breathing = respiration.at(np.arange(samples) / sampling_rate)[:, None]
    sources *= (1 + _BREATHING_DEPTH * breathing).astype(np.float32)
    sources[:, :3] += fibrillatory_waves(
        fibrillating, sampling_rate=sampling_rate, samples=samples, generator=generator
    )
    leads = lead_matrix() * traits.lead_gain[..., None].astype(np.float32)
    independent = leads @ sources
    independent += draw_noise(
        noise or NoiseSettings(),
        respiration,
        sampling_rate=sampling_rate,
        samples=samples,
        generator=generator,
    )
    inside = (beats.time_s >= 0) & (beats.time_s < duration_s)
    return Simulated(
        all_leads(independent),
        true_intervals(heartbeats, traits, beats, duration_s=duration_s),
        tuple(row[kept] for row, kept in zip(beats.time_s, inside, strict=True)),
    )


def _check_codes(codes: Sequence[str]) -> None:
    unknown = sorted(set(codes) - set(CLASSES))
    if unknown or not len(codes):
        raise InputError(
            "ECG classes",
            value=unknown or "none",
            expected=f"some of {', '.join(CLASSES)}",
            remedy="Correct the class codes.",
        )
