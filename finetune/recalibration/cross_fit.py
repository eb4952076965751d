"""Each recording decided by a calibration and thresholds of other patients."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.classifiers.scoring import called_positive
from finetune.data.folds import patient_folds
from finetune.recalibration.cohort import Cohort
from finetune.recalibration.fit import Classes, fit
from lamae.statistics.probabilities import probabilities
from lamae.statistics.thresholds import Criterion


class Decided(NamedTuple):
    """Predictions for a cohort."""

    probabilities: Float[np.ndarray, "records classes"]
    """Of each class."""
    called: Bool[np.ndarray, "records classes"]
    """True where a class is called."""


def as_it_was(cohort: Cohort, classes: Classes) -> Decided:
    """Return the predictions of the classifier as it is."""
    return _decide(cohort.logits, classes.calibration, classes.thresholds, classes)


def cross_fitted(
    cohort: Cohort,
    classes: Classes,
    criterion: Criterion,
    *,
    folds: int,
    generator: np.random.Generator,
) -> Decided:
    """Return predictions of which none depends on the labels of the same patient."""
    patients = np.array(cohort.patients)
    fold = patient_folds(cohort.labels, cohort.patients, folds=folds, generator=generator)
    values, called = np.empty(cohort.logits.shape), np.empty(cohort.labels.shape, dtype=bool)
    for number in range(folds):
        own, others = fold == number, fold != number
        fitted = fit(
            cohort.logits[others],
            cohort.labels[others],
            patients[others].tolist(),
            classes,
            criterion,
        )
        decided = _decide(cohort.logits[own], fitted.calibration, fitted.thresholds, classes)
        values[own], called[own] = decided
    return Decided(values, called)


def _decide(logits: np.ndarray, calibration: tuple, cut: np.ndarray, classes: Classes) -> Decided:
    values = probabilities(logits, multi_label=classes.multi_label, calibration=calibration)
    return Decided(values, called_positive(values, cut, multi_label=classes.multi_label))
