"""The heart as a moving dipole, and a source near V1-V3: Gaussian waves, projected on the leads.

Waves after McSharry, Clifford, Tarassenko, Smith, IEEE TBME 2003; the dipole and its projection
after Sameni, Clifford, Jutten, Shamsollahi, EURASIP JASP 2007. Axes are Frank's: x points to the
left, y to the feet, z to the back. A dipole shows in all leads; what the right ventricle's free
wall shows to V1-V3 alone is a fourth source, too near to these electrodes for a dipole.
"""

from collections.abc import Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS, derive_limb_lead

LEAD_VECTORS = MappingProxyType(
    {
        "I": (0.632, -0.235, 0.059),
        "II": (0.235, 1.066, -0.132),
        "V1": (-0.515, 0.157, -0.917),
        "V2": (0.044, 0.164, -1.387),
        "V3": (0.882, 0.098, -1.277),
        "V4": (1.213, 0.127, -0.601),
        "V5": (1.125, 0.127, -0.086),
        "V6": (0.831, 0.076, 0.230),
    }
)
"""Sensitivity of each independent lead to a dipole (Dower, Machado, Osborne, Clin Cardiol 1980)."""

NEAR_LEADS = MappingProxyType({"V1": 0.7, "V2": 1.0, "V3": 0.8})
"""Sensitivity of the leads over the right ventricle's free wall to it; no other lead has any.

Which leads these are is stated by the criteria (Marcus et al. 2010: V1-V3); the numbers are ours.
"""

_REACH = 4.0
"""A wave ends after so many widths, where it is below 1 / 2,900 of its peak."""


class Section(IntEnum):
    """The part of a beat whose length a wave's place and widths are fractions of."""

    P = 0
    """Onset to end of the P wave."""
    QRS = 1
    """Onset to end of the QRS complex."""
    T = 2
    """End of the QRS complex to the end of the T wave: the ST segment and T."""


class Wave(NamedTuple):
    """One asymmetric Gaussian of the dipole."""

    section: Section
    """Voltage to which the three fractions below refer."""
    at: float
    """Place of the peak in the section: 0 at its start, 1 at its end."""
    rise: float
    """Standard deviation before the peak."""
    fall: float
    """Standard deviation after the peak."""
    vector: tuple[float, float, float]
    """The dipole at the peak: left, down, back, in mV."""
    near_mv: float = 0.0
    """Peak contribution of the right ventricle's free wall, in mV at V2; see `NEAR_LEADS`."""


class WaveTable(NamedTuple):
    """Several morphologies as arrays, (morphologies, waves); unused places have a zero vector."""

    section: np.ndarray
    """Number of the section."""
    at: np.ndarray
    """Place of the peak, a fraction of the section."""
    rise: np.ndarray
    """Standard deviation before the peak, a fraction of the section."""
    fall: np.ndarray
    """Standard deviation after the peak, a fraction of the section."""
    vector: np.ndarray
    """(morphologies, waves, 4) in mV: left, down, back, near."""


def wave_table(morphologies: Sequence[Sequence[Wave]]) -> WaveTable:
    """Stack morphologies, each padded to the longest with waves of no amplitude."""
    longest = max(len(waves) for waves in morphologies)
    nothing = Wave(Section.QRS, 0.5, 0.1, 0.1, (0.0, 0.0, 0.0))
    padded = [[*waves, *[nothing] * (longest - len(waves))] for waves in morphologies]
    section, at, rise, fall, vector, near_mv = (
        np.array([[wave[i] for wave in row] for row in padded]) for i in range(6)
    )
    return WaveTable(section, at, rise, fall, np.concatenate([vector, near_mv[..., None]], axis=-1))


def render_waves(
    centre_s: np.ndarray,
    rise_s: np.ndarray,
    fall_s: np.ndarray,
    vector: np.ndarray,
    *,
    sampling_rate: int,
    samples: int,
) -> np.ndarray:
    """Add up Gaussian waves.

    Args:
        centre_s: (records, waves) time of each peak from the start of the record.
        rise_s: (records, waves) standard deviation before the peak, in s.
        fall_s: (records, waves) standard deviation after the peak, in s.
        vector: (records, waves, sources) each source at the peak, in mV.
        sampling_rate: samples per second.
        samples: length of a record.

    Returns the sources, float32 (records, sources, samples) in mV.
    """
    start = np.ceil((centre_s - _REACH * rise_s) * sampling_rate).astype(np.int64)
    stop = np.floor((centre_s + _REACH * fall_s) * sampling_rate).astype(np.int64) + 1
    start, stop = start.clip(0, samples), stop.clip(0, samples)
    drawn = (stop > start) & vector.any(axis=-1)
    length = (stop - start)[drawn]
    ends = np.cumsum(length)
    sample = np.arange(length.sum()) + np.repeat(start[drawn] - (ends - length), length)

    distance = sample / sampling_rate - np.repeat(centre_s[drawn], length)
    width = np.where(
        distance < 0, np.repeat(rise_s[drawn], length), np.repeat(fall_s[drawn], length)
    )
    shape = np.exp(-0.5 * (distance / width) ** 2)
    records = len(centre_s)
    place = sample + np.repeat(np.nonzero(drawn)[0] * samples, length)
    sources = np.empty((records, vector.shape[-1], samples), dtype=np.float32)
    for number in range(vector.shape[-1]):
        weights = shape * np.repeat(vector[..., number][drawn], length)
        total = np.bincount(place, weights=weights, minlength=records * samples)
        sources[:, number] = total.reshape(records, samples)
    return sources


def rotation(frontal_rad: np.ndarray, horizontal_rad: np.ndarray) -> np.ndarray:
    """Return (records, 3, 3) matrices that turn the heart.

    A positive frontal angle turns left towards the feet, as the clinical axis counts; a positive
    horizontal angle turns left towards the back.
    """
    zero, one = np.zeros_like(frontal_rad), np.ones_like(frontal_rad)
    cos, sin = np.cos(frontal_rad), np.sin(frontal_rad)
    frontal = np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])
    cos, sin = np.cos(horizontal_rad), np.sin(horizontal_rad)
    horizontal = np.array([[cos, zero, -sin], [zero, one, zero], [sin, zero, cos]])
    return np.einsum("ijr,jkr->rik", horizontal, frontal)


def lead_matrix() -> np.ndarray:
    """Return float32 (8, 4): what INDEPENDENT_LEADS, in order, see of left, down, back, near."""
    seen = [(*LEAD_VECTORS[lead], NEAR_LEADS.get(lead, 0.0)) for lead in INDEPENDENT_LEADS]
    return np.array(seen, dtype=np.float32)


def all_leads(independent: np.ndarray) -> np.ndarray:
    """Complete (records, 8, samples) of INDEPENDENT_LEADS to (records, 12, samples) of LEADS."""
    records, _, samples = independent.shape
    flat = np.moveaxis(independent, 1, 0).reshape(len(INDEPENDENT_LEADS), -1)
    signal = np.empty((records, len(LEADS), samples), dtype=independent.dtype)
    for row, lead in enumerate(LEADS):
        if lead in INDEPENDENT_LEADS:
            signal[:, row] = independent[:, INDEPENDENT_LEADS.index(lead)]
        else:
            derived = derive_limb_lead(lead, flat, INDEPENDENT_LEADS)
            if derived is None:
                raise ValueError(f"{lead} does not follow from {INDEPENDENT_LEADS}")
            signal[:, row] = derived.reshape(records, samples)
    return signal


def frontal_axis(vector: np.ndarray) -> np.ndarray:
    """Return the clinical axis in degrees, (-180, 180], of dipoles (..., 3).

    The axis of leads I and aVF, which point to 0 and 90 degrees and differ in scale by 2 / sqrt 3.
    """
    lead_i = vector @ np.array(LEAD_VECTORS["I"])
    lead_avf = vector @ np.array(LEAD_VECTORS["II"]) - lead_i / 2
    return np.degrees(np.arctan2(2 / np.sqrt(3) * lead_avf, lead_i))
