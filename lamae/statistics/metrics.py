"""Ranking of positive above negative records: AUROC and average precision (AUPRC).

A class without a positive or without a negative record has neither; its value is NaN. Means over
classes leave such a class out, and whoever reports a mean names it: to count it as 0 or 0.5 would
move the mean by the choice of records and not by the model.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lamae.errors import InputError
from lamae.statistics.ranked_counts import RankedCounts, ranked_counts


class ClassScores(NamedTuple):
    """AUROC and average precision, classes on the last axis."""

    auroc: Float[np.ndarray, "*resamples classes"]
    """Probability that a positive record outranks a negative one, ties counted half."""
    average_precision: Float[np.ndarray, "*resamples classes"]
    """Precision at each threshold, weighted by the recall gained there (no interpolation)."""


def auroc(positive: Bool[np.ndarray, " records"], score: Shaped[np.ndarray, " records"]) -> float:
    """Return the area under the ROC curve, NaN without a positive or without a negative.

    It is the Mann-Whitney statistic U / (positives * negatives). Raises InputError for scores
    that are not finite.
    """
    return float(class_scores(positive[:, None], score[:, None]).auroc[0])


def average_precision(
    positive: Bool[np.ndarray, " records"], score: Shaped[np.ndarray, " records"]
) -> float:
    """Return the average precision (AUPRC), NaN without a positive or without a negative.

    Raises InputError for scores that are not finite.
    """
    return float(class_scores(positive[:, None], score[:, None]).average_precision[0])


def class_scores(
    labels: Bool[np.ndarray, "records classes"], scores: Shaped[np.ndarray, "records classes"]
) -> ClassScores:
    """Return AUROC and average precision of each class, each (classes,).

    Raises InputError for scores that are not finite or not of the shape of the labels.
    """
    once = np.ones((1, len(labels)), dtype=np.int64)
    values = weighted_class_scores(labels, scores, once)
    return ClassScores(values.auroc[0], values.average_precision[0])


def weighted_class_scores(
    labels: Bool[np.ndarray, "records classes"],
    scores: Shaped[np.ndarray, "records classes"],
    weights: Shaped[np.ndarray, "resamples records"],
) -> ClassScores:
    """Return the scores of each class in each resample, each (resamples, classes).

    Args:
        labels: True where a record is positive for a class.
        scores: any numbers that are higher where a class is likelier.
        weights: how often each record is in each resample, integers of 0 or more.

    Each class is sorted once for all resamples. Raises InputError as `class_scores`, and for
    weights that are not whole numbers of 0 or more.
    """
    _check(labels, scores, weights)
    values = np.empty((2, len(weights), labels.shape[1]))
    for number in range(labels.shape[1]):
        counts = ranked_counts(labels[:, number], scores[:, number], weights)
        undefined = (counts.positive[:, -1] == 0) | (counts.negative[:, -1] == 0)
        values[0, :, number] = np.where(undefined, np.nan, _auroc(counts))
        values[1, :, number] = np.where(undefined, np.nan, _average_precision(counts))
    return ClassScores(values[0], values[1])


def defined_classes(
    labels: Bool[np.ndarray, "records classes"],
) -> Bool[np.ndarray, " classes"]:
    """Return True for the classes that have a positive and a negative record."""
    positives = labels.sum(axis=0)
    return (positives > 0) & (positives < len(labels))


def left_out(labels: Bool[np.ndarray, "records classes"], classes: Sequence[str]) -> list[str]:
    """Return the names of the classes that a mean over classes leaves out."""
    defined = defined_classes(labels)
    return [name for name, is_defined in zip(classes, defined, strict=True) if not is_defined]


def macro(values: Float[np.ndarray, "*resamples classes"]) -> Float[np.ndarray, "*resamples"]:
    """Return the mean over the classes that are defined, NaN where none is.

    An undefined class (NaN) is left out of the mean; name it with `left_out`.
    """
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    number = defined.sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def check_finite(scores: Shaped[np.ndarray, "records columns"]) -> None:
    """Raise InputError, which names the first record, where a score is not finite."""
    if not np.isfinite(scores).all():
        record = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise InputError(
            "scores",
            value=f"{scores[record].tolist()} in record {record}",
            expected="finite numbers",
            remedy="Find out why the model gives them; a missing score has no rank.",
        )


def _auroc(counts: RankedCounts) -> np.ndarray:
    gained = np.diff(counts.negative, axis=1, prepend=0)
    outranking = counts.positive - np.diff(counts.positive, axis=1, prepend=0) / 2  # half of a tie
    pairs = counts.positive[:, -1] * counts.negative[:, -1]
    return (gained * outranking).sum(axis=1) / np.maximum(pairs, 1)


def _average_precision(counts: RankedCounts) -> np.ndarray:
    gained = np.diff(counts.positive, axis=1, prepend=0)
    precision = counts.positive / np.maximum(counts.positive + counts.negative, 1)
    return (gained * precision).sum(axis=1) / np.maximum(counts.positive[:, -1], 1)


def _check(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> None:
    if scores.shape != labels.shape or weights.shape[1] != len(labels) or len(labels) == 0:
        raise InputError(
            "scores",
            value=f"labels {labels.shape}, scores {scores.shape}, weights {weights.shape}",
            expected="labels and scores (records, classes) of one shape, weights (.., records)",
            remedy="Give one score for each label of at least one record.",
        )
    check_finite(scores)
    if not np.issubdtype(weights.dtype, np.integer) or weights.min(initial=0) < 0:
        raise InputError(
            "weights",
            value=f"{weights.dtype} with minimum {weights.min(initial=0)}",
            expected="whole numbers of 0 or more",
            remedy="Give how often each record is drawn.",
        )
