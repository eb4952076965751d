"""Patients of the training split who are held out: to choose a penalty, an epoch, thresholds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.data.settings import HOLD_OUT
from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes
from lamae.statistics.patient_resampling import stratify_patients

_MOST_DRAWS = 100


class HeldOut(NamedTuple):
    """Predictions for training patients that were held out of the fit."""

    records: Bool[np.ndarray, " records"]
    """True for their records, among those of training."""
    probabilities: Float[np.ndarray, "held_out classes"]
    """Of each of them, by the fit to the others."""


def draw_hold_out(
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    generator: np.random.Generator,
    share: float = HOLD_OUT,
) -> Bool[np.ndarray, " records"]:
    """Hold out a share of the patients, evenly over the strata of their rarest classes.

    The rest has every class and its opposite, what is held out has it of at least one class.
    Raises InputError where there are too few patients for that.
    """
    strata = stratify_patients(labels, patients)
    for _ in range(_MOST_DRAWS):
        held_out = _draw_patients(strata.stratum, share, generator)[strata.patient]
        both_sides = held_out.any() and defined_classes(labels[held_out]).any()
        if both_sides and defined_classes(labels[~held_out]).all():
            return held_out
    raise InputError(
        "training patients",
        value=f"{len(strata.stratum)} with {len(labels)} records",
        expected=f"enough to hold out {share:.0%} and keep every class in the rest",
        remedy="Leave rare classes out, or give more patients; for a probe a single strength of "
        "the penalty as l2_grid, then nothing is held out.",
    )


def _draw_patients(
    stratum: np.ndarray, share: float, generator: np.random.Generator
) -> Bool[np.ndarray, " patients"]:
    """Return True for every patient at which the running share passes a whole number.

    Patients come by stratum and at random within it, so a stratum of n gives n times the share,
    rounded up or down; the only patient of a stratum is never drawn.
    """
    order = generator.permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    sizes = np.bincount(stratum)
    order = order[sizes[stratum[order]] > 1]
    passed = np.floor(np.arange(len(order) + 1) * share + generator.random())
    drawn = np.zeros(len(stratum), dtype=bool)
    drawn[order] = np.diff(passed) > 0
    return drawn
