"""Traits that a simulated patient keeps from record to record, and those of a record."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shards.simulator.dipole import rotation
from shards.simulator.ecg_classes import CLASSES

_SECTIONS = 3


class Traits(NamedTuple):
    """One row per record; records of one patient share all but rate, gain and electrodes."""

    morphology: np.ndarray
    """(records,) number of the dominant beat's morphology in its class."""
    premature_morphology: np.ndarray
    """(records,) the same for premature beats; 0 where the class has none."""
    rr_s: np.ndarray
    """(records,) mean interval between beats."""
    p_s: np.ndarray
    """(records,) length of the P wave."""
    pr_s: np.ndarray
    """(records,) onset of P to onset of QRS."""
    qrs_s: np.ndarray
    """(records,) onset to end of QRS."""
    qtc_s: np.ndarray
    """(records,) QT corrected to an interval of 1 s."""
    amplitude: np.ndarray
    """(records, waves) factor of each wave."""
    width: np.ndarray
    """(records, 3) factor of the widths of P, QRS and T."""
    turn: np.ndarray
    """(records, 3, 3) rotation of the heart."""
    lead_gain: np.ndarray
    """(records, 8) factor of each independent lead: chest shape and electrode placement."""


def draw_traits(
    codes: Sequence[str], patients: np.ndarray, *, waves: int, generator: np.random.Generator
) -> Traits:
    """Draw traits for records with these class codes.

    Args:
        codes: class of each record.
        patients: (records,) number of each record's patient.
        waves: waves of a beat.
        generator: source of the draws.
    """
    names, patient = np.unique(patients, return_inverse=True)
    people, records = len(names), len(codes)
    classes = [CLASSES[code] for code in codes]
    chance = generator.random((7, people))[:, patient]

    def within(ranges: Sequence[tuple[float, float]], row: int) -> np.ndarray:
        low, high = np.array(ranges).T
        return low + chance[row] * (high - low)

    def choice(counts: Sequence[int], row: int) -> np.ndarray:
        return (chance[row] * np.array(counts)).astype(int)

    size = np.exp(generator.normal(0, 0.10, (people, 1)))
    amplitude = size * np.exp(generator.normal(0, 0.08, (people, waves)))
    angle = np.radians(np.clip(generator.normal(0, 1, (2, people)), -1.7, 1.7) * [[10.0], [6.0]])
    width = 1 + np.clip(generator.normal(0, 0.04, (people, _SECTIONS)), -0.08, 0.08)
    shape = np.exp(generator.normal(0, 0.06, (people, 8)))[patient]
    placement = np.exp(generator.normal(0, 0.03, (records, 8)))
    rate = within([c.rate_bpm for c in classes], 0) * generator.uniform(0.94, 1.06, records)
    return Traits(
        morphology=choice([len(c.beats) for c in classes], 1),
        premature_morphology=choice([len(c.premature) for c in classes], 2),
        rr_s=60 / rate,
        p_s=within([(88, 114)] * records, 3) / 1000,
        pr_s=within([c.pr_ms for c in classes], 4) / 1000,
        qrs_s=within([c.qrs_ms for c in classes], 5) / 1000,
        qtc_s=within([c.qtc_ms for c in classes], 6) / 1000,
        amplitude=amplitude[patient],
        width=width[patient],
        turn=rotation(*angle)[patient],
        lead_gain=shape * placement,
    )
