"""Folds by patient, for cross-validation and what is nested in it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from lamae.errors import InputError
from lamae.statistics.metrics import left_out
from lamae.statistics.patient_resampling import stratify_patients


def patient_folds(
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    folds: int,
    generator: np.random.Generator,
) -> Int[np.ndarray, " records"]:
    """Deal the patients out to folds, stratum by stratum of their rarest class.

    Folds differ by at most one patient, in all and in each stratum. Raises InputError where there
    are fewer than two folds, or fewer patients than folds.
    """
    strata = stratify_patients(labels, patients)
    if not 2 <= folds <= len(strata.stratum):
        raise InputError(
            "folds",
            value=f"{folds} for {len(strata.stratum)} patients",
            expected="at least 2, and no more than there are patients",
            remedy="Give another number of folds, or more patients.",
        )
    order = generator.permutation(len(strata.stratum))
    order = order[np.argsort(strata.stratum[order], kind="stable")]
    first = generator.permutation(folds)
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = first[np.arange(len(order)) % folds]
    return fold[strata.patient]


def check_folds(
    labels: Bool[np.ndarray, "records classes"],
    fold: Int[np.ndarray, " records"],
    classes: Sequence[str],
) -> None:
    """Raise InputError where without one of the folds a class has no positive or no negative."""
    for number in np.unique(fold):
        absent = left_out(labels[fold != number], classes)
        if absent:
            raise InputError(
                f"classes {', '.join(absent)}",
                value="recordings of too few patients: without one fold, none is left to learn "
                "from",
                expected="positive and negative recordings of at least two patients",
                remedy="Leave these classes out of classes=.",
            )
