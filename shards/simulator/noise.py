"""Noise of a recording, drawn at the electrodes so that the leads share it as they do in truth."""

import numpy as np
from scipy.signal import butter, sosfilt

from shards.simulator.rhythm import Respiration
from shards.simulator.settings import NoiseSettings

_MAINS_HZ = (50.0, 60.0)
_MUSCLE_HZ = (20.0, 150.0)
_WANDER_HZ = (0.05, 0.5)


def draw_noise(
    settings: NoiseSettings,
    respiration: Respiration,
    *,
    sampling_rate: int,
    samples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return noise in the independent leads, float32 (records, 8, samples) in mV.

    Levels vary from record to record by a factor of about two.
    """
    records = len(respiration.frequency_hz)
    shape = (records, 9, samples)
    level = np.exp(generator.normal(0, 0.5, (4, records, 1, 1))).astype(np.float32)
    noise = generator.standard_normal(shape, dtype=np.float32)
    noise *= settings.white_mv * level[0]
    time_s = np.arange(samples) / sampling_rate
    if settings.muscle_mv:
        burst = 1 + 0.7 * _slow_waves(records, time_s, generator)[:, :1]
        muscle = _muscle(shape, sampling_rate, generator)
        muscle *= settings.muscle_mv * level[1] * burst.astype(np.float32)
        noise += muscle
    noise += _mix(_mains(records, time_s, generator), settings.mains_mv * level[2], generator)
    breathing = np.sqrt(2) * respiration.at(time_s)[:, None]
    wander = np.concatenate([breathing, _slow_waves(records, time_s, generator)], axis=1)
    noise += _mix(wander, settings.wander_mv * level[3] / 2, generator)
    return _electrodes_to_leads() @ noise


def _electrodes_to_leads() -> np.ndarray:
    """Return (8, 9): I, II, V1-V6 from RA, LA, LL, V1-V6; the V leads against Wilson's terminal."""
    matrix = np.zeros((8, 9), dtype=np.float32)
    matrix[0, :2] = (-1, 1)
    matrix[1, [0, 2]] = (-1, 1)
    matrix[2:, :3] = -1 / 3
    matrix[2:, 3:] = np.eye(6)
    return matrix


def _mix(sources: np.ndarray, level: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Couple sources (records, sources, samples) at random into the nine electrodes."""
    records, count, _ = sources.shape
    coupling = generator.standard_normal((records, 9, count), dtype=np.float32) * level
    return coupling @ sources.astype(np.float32)


def _muscle(
    shape: tuple[int, ...], sampling_rate: int, generator: np.random.Generator
) -> np.ndarray:
    low_hz = min(_MUSCLE_HZ[0], 0.2 * sampling_rate)
    high_hz = min(_MUSCLE_HZ[1], 0.4 * sampling_rate)
    sections = butter(1, [low_hz, high_hz], btype="bandpass", fs=sampling_rate, output="sos")
    muscle = sosfilt(sections.astype(np.float32), generator.standard_normal(shape, np.float32))
    rms = np.sqrt(np.mean(muscle[0] ** 2))
    return muscle / rms


def _mains(records: int, time_s: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    frequency = generator.choice(_MAINS_HZ, (records, 1, 1))
    angle = 2 * np.pi * frequency * time_s + generator.uniform(0, 2 * np.pi, (records, 1, 1))
    return np.sqrt(2) * np.sin(angle)


def _slow_waves(records: int, time_s: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    frequency = generator.uniform(*_WANDER_HZ, (records, 3, 1))
    phase = generator.uniform(0, 2 * np.pi, (records, 3, 1))
    return np.sqrt(2) * np.sin(2 * np.pi * frequency * time_s + phase)
