"""Checks of amplitude: gain, spikes, offset."""

import math
from dataclasses import replace

import numpy as np

from lamae.ecg.amplitude import doubt_of_unit, median_amplitude_mv
from lamae.ecg.record import Record
from lamae.quality.levels import Finding, Levels, in_mv, named, with_values
from lamae.quality.settings import QualitySettings

_SAME_GAIN = 1e-3
"""Relative difference up to which two gains are the same: headers write few digits."""


def find_implausible_gain(record: Record, _: Levels, quality: QualitySettings) -> Finding | None:
    """Find another gain than the documented one, or an amplitude that no heart has."""
    settings = quality.implausible_gain
    if settings.expected_per_mv is not None:
        expected = settings.expected_per_mv
        gain = np.abs(record.gain)
        other = ~np.isclose(gain, expected, rtol=_SAME_GAIN, atol=0)
        if other.any():
            gains = ", ".join(f"{value:g}" for value in np.unique(gain[other]))
            what = f"gain of {gains} units per mV in {named(record, other)}"
            documented = f"{expected:g} units per mV"
            return Finding(
                what, documented, lambda: _with_gain(record, expected), f"set to {documented}"
            )
    amplitude_mv = median_amplitude_mv(record)
    if math.isnan(amplitude_mv) or settings.min_mv <= amplitude_mv <= settings.max_mv:
        return None
    doubt = doubt_of_unit(amplitude_mv)
    what = f"median amplitude {amplitude_mv:.3g} mV{f', which {doubt}' if doubt else ''}"
    return Finding(what, f"{settings.min_mv:g} to {settings.max_mv:g} mV")


def find_implausible_amplitude(
    record: Record, levels: Levels, quality: QualitySettings
) -> Finding | None:
    """Find leads with a sample too far from their mean."""
    largest_mv = quality.implausible_amplitude.max_mv
    distance = np.maximum(levels.highest - levels.mean, levels.mean - levels.lowest)
    distance_mv = distance / np.abs(record.gain)
    found = distance_mv > largest_mv
    if not found.any():
        return None
    what = f"peaks of {with_values(record, found, distance_mv, 'mV')} from the mean"
    return Finding(what, f"at most {largest_mv:g} mV")


def find_baseline_offset(
    record: Record, levels: Levels, quality: QualitySettings
) -> Finding | None:
    """Find leads whose mean is too far from 0 mV."""
    largest_mv = quality.baseline_offset.max_mv
    offset_mv = in_mv(record, levels.mean)
    found = (np.abs(offset_mv) > largest_mv) & (levels.missing < record.digital.shape[1])
    if not found.any():
        return None
    what = f"mean of {with_values(record, found, offset_mv, 'mV')}"
    return Finding(what, f"within {largest_mv:g} mV of zero")


def _with_gain(record: Record, per_mv: float) -> Record:
    return replace(record, gain=tuple(math.copysign(per_mv, gain) for gain in record.gain))
