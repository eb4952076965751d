"""Decisions from scores: thresholds chosen on validation patients only, and what they achieve.

A record is called positive for a class where its score is at or above the class's threshold. A
threshold remembers its patients, and `decide` refuses them: a threshold chosen on the records it
is evaluated on reports the best of many looks. Each class has a threshold of its own (Lipton et
al., ECML 2014) or all share one, as entries of the PhysioNet/CinC Challenge did.

A class without a positive or a negative record on validation gets no threshold (NaN), is never
called positive, and is named in `left_out`. A measure without anything to count in it is NaN:
sensitivity, F-beta and G-beta without a positive record, specificity without a negative record.
`lamae.statistics.metrics.macro` leaves NaN out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lamae.errors import InputError
from lamae.statistics.metrics import check_finite, defined_classes, left_out
from lamae.statistics.ranked_counts import ranked_counts

_ROUNDING = 1e-12
"""So that 0.9 of 10 negative records are 9 of them."""


class Confusion(NamedTuple):
    """Weighted numbers of records by decision and truth, classes on the last axis."""

    true_positive: Float[np.ndarray, "*resamples classes"]
    """Positive records called positive."""
    false_positive: Float[np.ndarray, "*resamples classes"]
    """Negative records called positive."""
    false_negative: Float[np.ndarray, "*resamples classes"]
    """Positive records called negative."""
    true_negative: Float[np.ndarray, "*resamples classes"]
    """Negative records called negative."""


Criterion = Callable[[Confusion], np.ndarray]
"""Aim of a threshold: from counts at each candidate to the value to be highest."""


class Thresholds(NamedTuple):
    """The lowest score that is called positive, by class, and where it was chosen."""

    values: Float[np.ndarray, " classes"]
    """NaN for a class left out, infinity where the criterion is best with no positive decision."""
    classes: tuple[str, ...]
    """Names of the classes."""
    left_out: tuple[str, ...]
    """Classes without a positive or without a negative record on validation."""
    patients: frozenset[str]
    """The patients of the validation records."""


def confusion(
    labels: Bool[np.ndarray, "records classes"], decisions: Bool[np.ndarray, "records classes"]
) -> Confusion:
    """Count decisions by their truth, each (classes,)."""
    counts = weighted_confusion(labels, decisions, np.ones((1, len(labels))))
    return Confusion(*(count[0] for count in counts))


def weighted_confusion(
    labels: Bool[np.ndarray, "records classes"],
    decisions: Bool[np.ndarray, "records classes"],
    weights: Shaped[np.ndarray, "resamples records"],
) -> Confusion:
    """Count decisions by their truth in each resample, each (resamples, classes).

    Args:
        labels: True where a record is positive for a class.
        decisions: True where it is called positive.
        weights: how much each record counts in each resample, 0 or more.
    """
    amounts = weights.astype(np.float64)
    cells = (labels & decisions, ~labels & decisions, labels & ~decisions, ~labels & ~decisions)
    return Confusion(*(amounts @ cell.astype(np.float64) for cell in cells))


def sensitivity(counts: Confusion) -> Float[np.ndarray, "*resamples classes"]:
    """Return TP / (TP + FN), the recall."""
    return _ratio(counts.true_positive, counts.true_positive + counts.false_negative)


def specificity(counts: Confusion) -> Float[np.ndarray, "*resamples classes"]:
    """Return TN / (TN + FP)."""
    return _ratio(counts.true_negative, counts.true_negative + counts.false_positive)


def f_beta(counts: Confusion, *, beta: float = 1.0) -> Float[np.ndarray, "*resamples classes"]:
    """Return (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN); van Rijsbergen 1979, beta 1 is F1."""
    gained = (1 + beta**2) * counts.true_positive
    missed = beta**2 * counts.false_negative
    return _without_positives_undefined(counts, gained, gained + counts.false_positive + missed)


def g_beta(counts: Confusion, *, beta: float = 2.0) -> Float[np.ndarray, "*resamples classes"]:
    """Return TP / (TP + FP + b FN), the Jaccard index at beta 1; Strodthoff et al., JBHI 2021."""
    lost = counts.false_positive + beta * counts.false_negative
    return _without_positives_undefined(counts, counts.true_positive, counts.true_positive + lost)


def sensitivity_at(lowest_specificity: float) -> Criterion:
    """Return the criterion: the highest sensitivity with at least this specificity."""

    def criterion(counts: Confusion) -> np.ndarray:
        allowed = specificity(counts) >= lowest_specificity - _ROUNDING
        return np.where(allowed, sensitivity(counts), -1.0)

    return criterion


def specificity_at(lowest_sensitivity: float) -> Criterion:
    """Return the criterion: the highest specificity with at least this sensitivity."""

    def criterion(counts: Confusion) -> np.ndarray:
        allowed = sensitivity(counts) >= lowest_sensitivity - _ROUNDING
        return np.where(allowed, specificity(counts), -1.0)

    return criterion


def youden(counts: Confusion) -> Float[np.ndarray, "*resamples classes"]:
    """Return sensitivity + specificity - 1 (Youden, Cancer 1950)."""
    return sensitivity(counts) + specificity(counts) - 1


def least_cost(missed: float) -> Criterion:
    """Return the criterion: the lowest cost, where a missed record costs so many false alarms."""
    return lambda counts: -(missed * counts.false_negative + counts.false_positive)


def choose_thresholds(
    labels: Bool[np.ndarray, "records classes"],
    scores: Shaped[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    criterion: Criterion = f_beta,
) -> Thresholds:
    """Choose on validation records, for each class, the threshold where the criterion is highest.

    Args:
        labels: True where a validation record is positive for a class.
        scores: numbers that are higher where a class is likelier.
        patients: the patient of each validation record.
        classes: names of the columns.
        criterion: `f_beta`, `g_beta`, `sensitivity_at(...)` or any function of the counts.

    The candidates are the scores themselves and infinity; of equally good ones the highest is
    taken. Raises InputError for inputs that do not fit together and scores that are not finite.
    """
    _check(labels, scores, patients, classes)
    defined = defined_classes(labels)
    values = np.full(len(classes), np.nan)
    for number in np.flatnonzero(defined):
        candidates, counts = _counts_by_threshold(labels[:, number], scores[:, number])
        values[number] = candidates[int(np.nanargmax(criterion(counts)))]
    return Thresholds(values, tuple(classes), tuple(left_out(labels, classes)), frozenset(patients))


def choose_common_threshold(
    labels: Bool[np.ndarray, "records classes"],
    scores: Shaped[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    candidates: Sequence[float],
    objective: Callable[[np.ndarray], float],
) -> Thresholds:
    """Choose on validation records one threshold for all classes, where an objective is highest.

    Args:
        labels: True where a validation record is positive for a class.
        scores: numbers that are higher where a class is likelier.
        patients: the patient of each validation record.
        classes: names of the columns.
        candidates: thresholds to try; of equally good ones the first is taken.
        objective: from decisions (records, classes) to the number to be highest, such as the
            Challenge score.

    Raises InputError as `choose_thresholds`, and without a candidate.
    """
    _check(labels, scores, patients, classes)
    if not candidates:
        raise InputError(
            "candidates", value="none", expected="at least one", remedy="Give thresholds to try."
        )
    exact = scores.astype(np.float64)
    achieved = [objective(exact >= candidate) for candidate in candidates]
    best = candidates[int(np.argmax(achieved))]
    return Thresholds(np.full(len(classes), best), tuple(classes), (), frozenset(patients))


def decide(
    scores: Shaped[np.ndarray, "records classes"], thresholds: Thresholds, patients: Sequence[str]
) -> Bool[np.ndarray, "records classes"]:
    """Call records positive where their score is at or above the class's threshold.

    Raises InputError for a patient on whom the thresholds were chosen, and where scores,
    thresholds and patients do not fit together.
    """
    if scores.shape != (len(patients), len(thresholds.values)):
        raise InputError(
            "scores",
            value=f"{scores.shape} for {len(patients)} patients",
            expected=f"one row per patient and the {len(thresholds.values)} classes",
            remedy="Give the columns in the order of the thresholds' classes.",
        )
    seen = sorted(thresholds.patients.intersection(patients))
    if seen:
        raise InputError(
            "thresholds",
            value=f"chosen on {len(seen)} of the patients they are to decide on, e.g. {seen[0]}",
            expected="other patients",
            remedy="Choose thresholds on the validation split.",
        )
    return scores.astype(np.float64) >= thresholds.values


def _counts_by_threshold(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, Confusion]:
    """Return candidates from infinity down, and the counts at each, (candidates,)."""
    candidates, true, false = ranked_counts(positive, score).from_none()
    counts = Confusion(true[0], false[0], true[0, -1] - true[0], false[0, -1] - false[0])
    return candidates, counts


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _without_positives_undefined(
    counts: Confusion, gained: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    positives = counts.true_positive + counts.false_negative
    return np.where(positives > 0, _ratio(gained, whole), np.nan)


def _check(
    labels: np.ndarray, scores: np.ndarray, patients: Sequence[str], classes: Sequence[str]
) -> None:
    if (
        scores.shape != labels.shape
        or len(labels) == 0
        or len(patients) != len(labels)
        or len(classes) != labels.shape[1]
    ):
        raise InputError(
            "validation records",
            value=f"labels {labels.shape}, scores {scores.shape}, {len(patients)} patients, "
            f"{len(classes)} classes",
            expected="labels and scores (records, classes) of one shape, and a name for each",
            remedy="Give one score for each label of at least one record.",
        )
    check_finite(scores)
