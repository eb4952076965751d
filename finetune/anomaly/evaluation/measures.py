"""Measures of scores that tell abnormal recordings from normal ones, with intervals."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from finetune.anomaly.evaluation.normals import LabelledRecordings
from finetune.anomaly.evaluation.threshold_rules import ABNORMAL
from finetune.anomaly.settings import RuleName
from finetune.evaluation.proportion_measures import proportions_of
from lamae.statistics.interval import Interval
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.metrics import weighted_class_scores
from lamae.statistics.ranked_counts import ranked_counts
from lamae.statistics.ranking_of_few import (
    effective_patients,
    widened_auroc,
    widened_average_precision,
)
from lamae.statistics.thresholds import (
    Thresholds,
    decide,
)

AT_SPECIFICITY = 0.9
RANKING = ("auroc", "auprc", "sensitivity_at_90_specificity")
DECIDING = ("sensitivity", "specificity")
LEVEL = 0.95
"""Probability with which an interval is meant to cover."""


class Measured(NamedTuple):
    """Measures of every score of a detector on the same resamples of patients."""

    ranking: dict[str, dict[str, Interval]]
    """By score: AUROC, AUPRC, and the sensitivity at the threshold that 90 % of the normals at
    hand stay below."""
    deciding: dict[RuleName, dict[str, Interval]]
    """By rule, sensitivity and specificity at the chosen score's threshold of validation."""
    thresholds: dict[RuleName, Thresholds]
    """Thresholds of the chosen score."""


def measure(
    scores: Mapping[str, Float[np.ndarray, " records"]],
    labelled: LabelledRecordings,
    thresholds: Mapping[RuleName, Thresholds],
    *,
    chosen: str,
    resamples: int,
    seed: int,
) -> Measured:
    """Measure scores on the evaluation recordings, and thresholds on the chosen score.

    Args:
        scores: by name, of the evaluation recordings.
        labelled: those recordings.
        thresholds: of the chosen score, by rule.
        chosen: name of the score that decides.
        resamples: how often patients are drawn.
        seed: decides which.

    Raises InputError for a patient on whom a threshold was chosen, and as `measure_intervals`.
    """
    called = {
        rule: decide(scores[chosen][:, None], found, labelled.patients)[:, 0]
        for rule, found in thresholds.items()
    }
    abnormal = labelled.abnormal
    options: dict[str, Any] = {
        "classes": (ABNORMAL,),
        "resamples": resamples,
        "lowest": 0.0,
        "highest": 1.0,
    }
    ranking = measure_intervals(
        {name: partial(_ranked, abnormal, score) for name, score in scores.items()},
        abnormal[:, None],
        labelled.patients,
        measures=RANKING,
        generator=np.random.default_rng([seed, 2]),
        **options,
    )
    _, number = np.unique(np.asarray(labelled.patients), return_inverse=True)
    patients = effective_patients(abnormal, number)
    for found in ranking.models.values():
        found["auroc"] = widened_auroc(found["auroc"], patients, level=LEVEL)
        found["auprc"] = widened_average_precision(found["auprc"], patients, level=LEVEL)
    exact = {
        rule: proportions_of(calls[None], abnormal, number, level=LEVEL)._asdict()
        for rule, calls in called.items()
    }
    return Measured(
        ranking.models,
        {
            rule: {key: interval for key in DECIDING if (interval := exact[rule][key])}
            for rule in thresholds
        },
        dict(thresholds),
    )


def sensitivity_at_specificity(
    abnormal: Bool[np.ndarray, " records"],
    score: Shaped[np.ndarray, " records"],
    weights: Shaped[np.ndarray, "resamples records"],
    *,
    lowest: float = AT_SPECIFICITY,
) -> Float[np.ndarray, " resamples"]:
    """Return the highest sensitivity with at least this specificity, in each resample.

    `weights` says how often each record is drawn; a record is called abnormal at or above the
    threshold.
    """
    _, positive, negative = ranked_counts(abnormal, score, weights)
    allowed = negative <= (1 - lowest) * negative[:, -1:] + 1e-9
    return np.max(np.where(allowed, positive, 0.0), axis=1) / positive[:, -1]


def as_numbers(found: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Return intervals as summary.json holds them."""
    return {name: interval._asdict() for name, interval in found.items()}


def _ranked(abnormal: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    ranks = weighted_class_scores(abnormal[:, None], score[:, None], weights)
    at = sensitivity_at_specificity(abnormal, score, weights)
    return np.stack([ranks.auroc[:, 0], ranks.average_precision[:, 0], at], axis=1)
