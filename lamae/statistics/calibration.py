"""Distance of probabilities from the share of positive records: Brier score, reliability, ECE.

A class without a positive or without a negative record has no value (NaN), as in
`lamae.statistics.metrics`: it would only flatter a mean over classes.

The expected calibration error uses bins of equal numbers of records (Nguyen and O'Connor, EMNLP
2015), because with bins of equal width most ECG classes fill only the lowest one. It is biased
upwards: a perfectly calibrated model has about the mean of |share - probability| by chance, which
falls with the records per bin (Kumar et al., NeurIPS 2019). Compare models on the same records.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes

BINS = 10
"""Bins of a reliability diagram; the usual number."""


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
    bins: int = BINS,
) -> Float[np.ndarray, "resamples classes"]:
    """Return the expected calibration error of each class in each resample.

    The bins are those of all records: a resample repeats records and so ties them.
    """
    _check(labels, probabilities)
    amounts = weights.astype(np.float64)
    errors = np.empty((len(weights), labels.shape[1]))
    for column in range(labels.shape[1]):
        number = _bin_numbers(probabilities[:, column], bins)
        excess = probabilities[:, column].astype(np.float64) - labels[:, column]
        in_bin = number[:, None] == np.arange(bins)
        errors[:, column] = np.abs(amounts @ (in_bin * excess[:, None])).sum(axis=1)
    return _defined(labels, errors / amounts.sum(axis=1, keepdims=True))


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
