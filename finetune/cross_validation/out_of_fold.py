"""Measures of out-of-fold scores: pairs of recordings of one fold only are compared.

Each fold is scored by a classifier of its own, whose scores are on a scale of their own: to pool
them compares recordings across classifiers, and is biased, often downwards (Forman and Scholz,
SIGKDD Explorations 2010; Airola et al., CSDA 2011). So AUROC is the share of well-ordered pairs
among all pairs of a positive and a negative recording of one fold: the mean of the folds' AUROCs
with their numbers of pairs as weights, in which a fold without a positive has no part. Average
precision is the mean over folds weighted by their positive recordings. With one fold both are what
they are on any split. Intervals draw patients, with the classifiers as they are: they do not hold
what another draw of folds or of training patients would change; repeats show that.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from lamae.errors import InputError
from lamae.statistics.interval import (
    check_request,
)
from lamae.statistics.metrics import weighted_class_scores
from lamae.statistics.patient_resampling import Statistic, resample_statistics, stratify_patients
from lamae.statistics.score_intervals import BootstrapScores, score_intervals

_log = logging.getLogger(__name__)


def fold_statistic(
    labels: Bool[np.ndarray, "records classes"],
    scores: Float[np.ndarray, "repeats records classes"],
    fold: Int[np.ndarray, "repeats records"],
) -> Statistic:
    """Return the function from weights to AUROC and average precision of each class in one row.

    They are means over the repeats.
    """

    def statistic(weights: np.ndarray) -> np.ndarray:
        repeats = [
            _of_repeat(labels, own, number, weights)
            for own, number in zip(scores, fold, strict=True)
        ]
        return np.mean(repeats, axis=0)

    return statistic


def _of_repeat(
    labels: np.ndarray, scores: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    total = np.zeros((len(weights), 2 * labels.shape[1]))
    amount = np.zeros_like(total)
    for number in np.unique(fold):
        own = fold == number
        found = np.hstack(weighted_class_scores(labels[own], scores[own], weights[:, own]))
        drawn = weights[:, own].astype(np.float64)
        positive, negative = drawn @ labels[own], drawn @ ~labels[own]
        share = np.hstack([positive * negative, positive])
        share[np.isnan(found)] = 0
        total += np.where(share > 0, found, 0) * share
        amount += share
    return np.divide(total, amount, out=np.full_like(total, np.nan), where=amount > 0)


def fold_scores(
    labels: Bool[np.ndarray, "records classes"],
    scores: Mapping[str, Float[np.ndarray, "repeats records classes"]],
    fold: Int[np.ndarray, "repeats records"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
    min_patients: int = 1,
) -> BootstrapScores:
    """Score models on the same folds, with intervals for them and for their differences.

    A resample without a pair in any fold for a class that has pairs is dropped, with a warning, so
    that all means are over the same classes; `resamples` of the result counts those that are left.
    The arguments are those of `lamae.statistics.score_intervals.bootstrap_scores`, and `fold` the
    number of the fold in which a recording was scored. Raises InputError as it does, and where no
    resample is left.
    """
    check_request(labels, classes, resamples=resamples, level=level)
    strata = stratify_patients(labels, patients)
    drawn = resample_statistics(
        {model: fold_statistic(labels, own, fold) for model, own in scores.items()},
        labels,
        strata,
        classes=classes,
        resamples=resamples,
        generator=generator,
    )
    values = _whole(drawn.values, next(iter(drawn.values)))
    return score_intervals(
        values,
        labels,
        strata,
        classes=classes,
        level=level,
        redrawn=drawn.redrawn,
        min_patients=min_patients,
    )


def _whole(values: Mapping[str, np.ndarray], first: str) -> dict[str, np.ndarray]:
    """Drop resamples in which a class is undefined that all records define."""
    lost = np.isnan(values[first]) & ~np.isnan(values[first][0])
    kept = ~lost.any(axis=1)
    if kept.sum() < 2:
        raise InputError(
            "resamples of patients",
            value="each without a pair in any fold for some class",
            expected="folds that hold positive and negative patients of each class",
            remedy="Leave rare classes out of classes=, or give fewer folds.",
        )
    if not kept.all():
        _log.warning(
            "%d of %d resamples lost a class and are dropped", (~kept).sum(), len(kept) - 1
        )
    return {model: own[kept] for model, own in values.items()}
