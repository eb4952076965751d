"""Distance of probabilities from the share of positive records: Brier score, reliability, ECE.

A class without a positive or without a negative record has no value (NaN), as in
`lamae.statistics.metrics`: it would only flatter a mean over classes.

The expected calibration error uses bins of equal numbers of records (Nguyen and O'Connor, EMNLP
2015), because with bins of equal width most ECG classes fill only the lowest one. It is biased
upwards: a perfectly calibrated model has about the mean of |share - probability| by chance, which
falls with the records per bin (Kumar et al., NeurIPS 2019). Compare models on the same records.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import expit, logit
from scipy.stats import norm

from lamae.errors import InputError
from lamae.statistics.interval import Interval
from lamae.statistics.metrics import defined_classes

BINS = 10
"""Bins of a reliability diagram; the usual number."""
PER_BIN = 10
"""Positive and negative records that there are for each bin of a class, if it has more than two."""
_MOST_STEPS = 100
_CONVERGED = 1e-9
_CERTAIN = 1e-12


class CalibrationLine(NamedTuple):
    """Logistic regression of what is true on the logit of the probability (Cox 1958)."""

    intercept: Interval
    """With a slope of 1, above 0 where probabilities are too low on the whole; 0 is best."""
    slope: Interval
    """Below 1 where probabilities are too extreme; 1 is best."""


class Reliability(NamedTuple):
    """The points of a reliability diagram, from the lowest probability up."""

    probability: Float[np.ndarray, " bins"]
    """Mean probability of the records of a bin."""
    positive_share: Float[np.ndarray, " bins"]
    """Share of them that is positive."""
    records: Int[np.ndarray, " bins"]
    """Number of them."""


def weighted_brier_score(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Shaped[np.ndarray, "records classes"],
    weights: Shaped[np.ndarray, "resamples records"],
) -> Float[np.ndarray, "resamples classes"]:
    """Return mean((probability - label)^2) of each class in each resample (Brier 1950).

    `weights` as in `metrics`. Raises InputError for what is no probability.
    """
    _check(labels, probabilities)
    amounts = weights.astype(np.float64)
    error = (probabilities.astype(np.float64) - labels) ** 2
    return _defined(labels, amounts @ error / amounts.sum(axis=1, keepdims=True))


def reliability(
    positive: Bool[np.ndarray, " records"],
    probability: Shaped[np.ndarray, " records"],
    *,
    bins: int = BINS,
) -> Reliability:
    """Return the points of a reliability diagram with bins of equal numbers of records.

    Equal probabilities share a bin, so there may be fewer. Raises InputError for what is no
    probability, and without a bin.
    """
    _check(positive[:, None], probability[:, None])
    number = _bin_numbers(probability, bins)
    records = np.bincount(number)
    filled = np.flatnonzero(records)
    records = records[filled]
    probabilities = np.bincount(number, weights=probability)[filled] / records
    return Reliability(
        probabilities, np.bincount(number, weights=positive)[filled] / records, records
    )


def calibration_error(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Shaped[np.ndarray, "records classes"],
    *,
    bins: int = BINS,
) -> Float[np.ndarray, " classes"]:
    """Return the expected calibration error of each class: sum over bins of n_b / N |p_b - s_b|.

    p_b is the mean probability and s_b the share of positive records in bin b (Naeini et al.,
    AAAI 2015). Raises InputError as `reliability`.
    """
    once = np.ones((1, len(labels)))
    return weighted_calibration_error(labels, probabilities, once, bins=bins)[0]


def weighted_calibration_error(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Shaped[np.ndarray, "records classes"],
    weights: Shaped[np.ndarray, "resamples records"],
    *,
    bins: int | Sequence[int] = BINS,
) -> Float[np.ndarray, "resamples classes"]:
    """Return the expected calibration error of each class in each resample.

    The bins, of all classes or of each, are those of all records: a resample repeats records and so
    ties them.
    """
    _check(labels, probabilities)
    by_class = [bins] * labels.shape[1] if isinstance(bins, int) else bins
    amounts = weights.astype(np.float64)
    errors = np.empty((len(weights), labels.shape[1]))
    for column in range(labels.shape[1]):
        number = _bin_numbers(probabilities[:, column], by_class[column])
        excess = probabilities[:, column].astype(np.float64) - labels[:, column]
        in_bin = number[:, None] == np.arange(by_class[column])
        errors[:, column] = np.abs(amounts @ (in_bin * excess[:, None])).sum(axis=1)
    return _defined(labels, errors / amounts.sum(axis=1, keepdims=True))


def bins_for(positive: Bool[np.ndarray, " records"]) -> int:
    """Return how many bins a class bears: one for PER_BIN positives and negatives, from 2 to 10."""
    fewer = min(int(positive.sum()), int((~positive).sum()))
    return int(np.clip(fewer // PER_BIN, 2, BINS))


def calibration_line(
    positive: Bool[np.ndarray, " records"],
    probability: Shaped[np.ndarray, " records"],
    patients: Shaped[np.ndarray, " records"],
    *,
    level: float = 0.95,
) -> CalibrationLine | None:
    """Return calibration in the large and the calibration slope, with intervals by patient.

    Variances are those of the sandwich with patients as clusters. None where a class is told apart
    without error, or nearly so, for the slope then has no end, and where there are no two kinds.
    """
    _check(positive[:, None], probability[:, None])
    if positive.all() or not positive.any():
        return None
    certain = np.clip(probability.astype(np.float64), _CERTAIN, 1 - _CERTAIN)
    line = np.column_stack([np.ones(len(certain)), logit(certain)])
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    large = _fit(positive, line[:, :1], line[:, 1], patient, level)
    slope = _fit(positive, line, np.zeros(len(certain)), patient, level)
    if large is None or slope is None:
        return None
    return CalibrationLine(large[0], slope[1])


def _fit(
    positive: np.ndarray, design: np.ndarray, offset: np.ndarray, patient: np.ndarray, level: float
) -> list[Interval] | None:
    """Fit a logistic regression by Newton's method; None where it does not converge."""
    found = np.zeros(design.shape[1])
    for _ in range(_MOST_STEPS):
        chance = expit(design @ found + offset)
        information = (design.T * (chance * (1 - chance))) @ design
        if np.linalg.cond(information) > 1 / _CERTAIN:
            return None
        step = np.linalg.solve(information, design.T @ (positive - chance))
        found = found + step
        if np.abs(step).max() < _CONVERGED:
            break
    else:
        return None
    scores = design * (positive - expit(design @ found + offset))[:, None]
    by_patient = np.stack([np.bincount(patient, weights=column) for column in scores.T], axis=1)
    bread = np.linalg.inv(information)
    number = len(by_patient)
    variance = np.diag(bread @ (by_patient.T @ by_patient) @ bread) * number / max(number - 1, 1)
    reach = float(norm.ppf((1 + level) / 2)) * np.sqrt(variance)
    return [
        Interval(float(value), float(value - own), float(value + own))
        for value, own in zip(found, reach, strict=True)
    ]


def _bin_numbers(probability: np.ndarray, bins: int) -> np.ndarray:
    if bins < 1:
        raise InputError("bins", value=bins, expected="1 or more", remedy=f"{BINS} are usual.")
    inner = np.quantile(probability.astype(np.float64), np.arange(1, bins) / bins)
    return np.searchsorted(inner, probability.astype(np.float64), side="left")


def _defined(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(defined_classes(labels), values, np.nan)


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if probabilities.shape != labels.shape or len(labels) == 0:
        raise InputError(
            "probabilities",
            value=f"labels {labels.shape}, probabilities {probabilities.shape}",
            expected="labels and probabilities of one shape, (records, classes)",
            remedy="Give one probability for each label of at least one record.",
        )
    usable = (probabilities >= 0) & (probabilities <= 1)  # false for NaN
    if not usable.all():
        record = int(np.argmin(usable.all(axis=1)))
        raise InputError(
            "probabilities",
            value=f"{probabilities[record].tolist()} in record {record}",
            expected="numbers from 0 to 1",
            remedy="Apply the model's sigmoid or softmax to its logits first.",
        )
