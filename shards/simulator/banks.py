"""Recordings put together from banks of beats and of noise, many times as fast as drawn anew.

A patient keeps the beats of one place in the bank; each recording has noise of another place, begun
at another sample, and a gain of its own.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from shards.simulator.dipole import all_leads
from shards.simulator.heartbeat import Intervals
from shards.simulator.mimic_layout import Study
from shards.simulator.noise import draw_noise
from shards.simulator.rhythm import draw_respiration
from shards.simulator.settings import NoiseSettings, SimulateSettings
from shards.simulator.signals import simulate_signals

_AT_ONCE = 48
_GAIN_SD = 0.05
_SILENT = NoiseSettings(white_mv=0, muscle_mv=0, mains_mv=0, wander_mv=0)
_ROWS = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]


class Draws(NamedTuple):
    """Places in the banks, and gains, of recordings."""

    beats: np.ndarray
    """(recordings,) place in the bank of beats."""
    noise: np.ndarray
    """(recordings,) place in the bank of noise."""
    shift: np.ndarray
    """(recordings,) samples by which the noise is turned."""
    gain: np.ndarray
    """float32 (recordings,) factor of the beats."""


class Banks:
    """Beats without noise, some of each class, and noise without beats."""

    def __init__(self, settings: SimulateSettings, size: int) -> None:
        """Draw `size` recordings of each bank, at least one of each class."""
        seed = np.random.SeedSequence(settings.seed, spawn_key=(2,))
        generator = np.random.default_rng(seed)
        self._seed, self._classes = settings.seed, settings.classes
        self._each = -(-size // len(settings.classes))
        codes = np.repeat(settings.classes, self._each).tolist()
        rate, samples = settings.sampling_rate, round(settings.duration_s * settings.sampling_rate)
        beats, intervals, noise = [], [], []
        for start in range(0, len(codes), _AT_ONCE):
            some = codes[start : start + _AT_ONCE]
            drawn = simulate_signals(
                some,
                generator=generator,
                sampling_rate=rate,
                duration_s=settings.duration_s,
                noise=_SILENT,
            )
            beats.append(drawn.signal_mv[:, _ROWS])
            intervals.append(drawn.intervals)
            breathing = draw_respiration(len(some), generator)
            noise.append(
                draw_noise(
                    settings.noise,
                    breathing,
                    sampling_rate=rate,
                    samples=samples,
                    generator=generator,
                )
            )
        self._beats, self._noise = np.concatenate(beats), np.concatenate(noise)
        self._intervals = Intervals(
            *(np.concatenate(each) for each in zip(*intervals, strict=True))
        )

    def draw(self, studies: Sequence[Study], codes: Sequence[str]) -> Draws:
        """Draw for studies with these classes; a function of the seed and their numbers alone."""
        size, samples = len(self._noise), self._noise.shape[-1]
        beats, noise, shift, gain = [], [], [], []
        for study, code in zip(studies, codes, strict=True):
            person = np.random.default_rng([self._seed, study.subject_id])
            own = np.random.default_rng([self._seed, study.study_id])
            first = self._classes.index(code) * self._each
            beats.append(first + int(person.integers(self._each)))
            noise.append(int(own.integers(size)))
            shift.append(int(own.integers(samples)))
            gain.append(np.exp(own.normal(0, _GAIN_SD)))
        gains = np.array(gain, dtype=np.float32)
        return Draws(np.array(beats), np.array(noise), np.array(shift), gains)

    def signals_mv(self, draws: Draws) -> np.ndarray:
        """Put recordings together: float32 (recordings, 12 of LEADS, samples)."""
        independent = self._beats[draws.beats]
        independent *= draws.gain[:, None, None]
        for signal, noise, shift in zip(independent, draws.noise, draws.shift, strict=True):
            signal[:, shift:] += self._noise[noise, :, : self._noise.shape[-1] - shift]
            signal[:, :shift] += self._noise[noise, :, self._noise.shape[-1] - shift :]
        return all_leads(independent)

    def intervals(self, draws: Draws) -> Intervals:
        """Return the true intervals and axes of recordings."""
        return Intervals(*(values[draws.beats] for values in self._intervals))


@lru_cache(1)
def banks_of(settings: SimulateSettings) -> Banks:
    """Return the banks that the settings ask for, drawn once in a process."""
    assert settings.banks is not None, "the caller has seen it"
    return Banks(settings, settings.banks)
