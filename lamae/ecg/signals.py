"""Signal processing on arrays of shape (..., samples).

scipy is imported where it computes: it takes a second, and settings that hold a preprocessor are
understood without it.
"""

from math import gcd

import numpy as np


def resample(signal: np.ndarray, *, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sampling rate by a polyphase filter that removes what would alias.

    The ends are extended by a line between the first and last sample, so that an offset does not
    ring there. Returns (..., ceil(samples * target_rate / source_rate)) of the same dtype.
    """
    if source_rate == target_rate:
        return signal
    from scipy.signal import resample_poly

    common = gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    return resample_poly(signal, up, down, axis=-1, padtype="line").astype(signal.dtype)


def bandpass(
    signal: np.ndarray, *, sampling_rate: int, low_hz: float, high_hz: float, order: int = 2
) -> np.ndarray:
    """Keep low_hz to high_hz with a Butterworth filter run forwards and backwards (no delay)."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(order, [low_hz, high_hz], btype="bandpass", fs=sampling_rate, output="sos")
    pad = min(signal.shape[-1] - 1, 3 * sampling_rate)
    return sosfiltfilt(sections, signal, axis=-1, padlen=pad).astype(signal.dtype)


def crop_or_pad(signal: np.ndarray, samples: int) -> np.ndarray:
    """Return the first `samples` samples, with zeros behind a signal that is shorter."""
    signal = signal[..., :samples]
    short = samples - signal.shape[-1]
    return np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, short)]) if short else signal


def interpolate_missing(signal: np.ndarray) -> np.ndarray:
    """Replace NaN by a line between its neighbours in time; ends are held; (leads, samples).

    Every lead must have some value.
    """
    missing = np.isnan(signal)
    if not missing.any():
        return signal
    filled = signal.copy()
    time = np.arange(signal.shape[-1])
    for lead, gaps in enumerate(missing):
        known = ~gaps
        filled[lead, gaps] = np.interp(time[gaps], time[known], signal[lead, known])
    return filled
