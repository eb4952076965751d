"""Measures of decisions and of probabilities, each with its interval by patient.

Decisions are those of finetune/operating_points.py. F2 and G2 are as the Challenge of 2020 has
them: beta is 2, and a recording with several classes is shared between these. Means are over the
classes that every compared classifier has a threshold for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.evaluate import by_suffix, interval_as_dict
from finetune.operating_points import Decisions
from finetune.settings import FinetuneSettings
from lamae.bootstrap import Interval
from lamae.calibration import weighted_brier_score, weighted_calibration_error
from lamae.challenge_metric import ChallengeWeights, scored_decisions, weighted_challenge_score
from lamae.metrics import defined_classes, macro
from lamae.resampling import Statistic
from lamae.statistic_bootstrap import bootstrap_statistics
from lamae.thresholds import (
    Confusion,
    confusion,
    f_beta,
    g_beta,
    sensitivity,
    specificity,
    weighted_confusion,
)

AT_F1 = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "f2": "F2",
    "g2": "G2",
}
"""Keys and names of what is measured at the thresholds of highest F1."""
AT_SPECIFICITY = {
    "sensitivity_at_90": "Sensitivity at 90 % specificity",
    "specificity_at_90": "Specificity reached there",
}
"""The same at the thresholds of a specificity of 90 % on the held-out patients."""
CALIBRATION = {"calibration_error": "Calibration error", "brier": "Brier score"}
"""The same of probabilities, where less is better."""
CHALLENGE = "challenge_score"
"""Key of the Challenge score, which is one number for all classes."""


class Judged(NamedTuple):
    """What one classifier says of the evaluation recordings, once or in several runs."""

    probabilities: Float[np.ndarray, "runs records classes"]
    """Of each class."""
    decisions: Decisions
    """What it calls positive, each of it by run."""


class Measured(NamedTuple):
    """Measures of all classifiers on the same resamples of patients."""

    models: dict[str, dict[tuple[str, str | None], Interval]]
    """By classifier, and by key and class; of means over classes the class is None."""
    differences: dict[str, dict[tuple[str, str | None], Interval]]
    """The first classifier minus each other."""
    counts: Confusion
    """Recordings of the first at its thresholds of highest F1, of all runs, by class."""
    without_threshold: tuple[str, ...]
    """Classes that the held-out patients of some classifier do not tell apart."""


class _Family(NamedTuple):
    """Measures that share their bounds."""

    keys: tuple[tuple[str, str | None], ...]
    statistics: dict[str, Statistic]
    bounds: dict[str, float]


def measure_decisions(
    judged: Mapping[str, Judged],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: tuple[str, ...],
    settings: FinetuneSettings,
    challenge: ChallengeWeights | None = None,
) -> Measured:
    """Measure decisions and probabilities of classifiers, the one in question first.

    Resamples are those of `finetune.evaluate.measure`. Raises InputError as
    `lamae.statistic_bootstrap.bootstrap_statistics` does.
    """
    has_threshold = np.all([own.decisions.has_threshold.any(axis=0) for own in judged.values()], 0)
    families = [
        _decision_family(judged, labels, classes, has_threshold, settings.multi_label),
        _calibration_family(judged, labels, classes),
    ]
    if challenge is not None:
        families.append(_challenge_family(judged, labels, classes, challenge))
    found = Measured(
        {name: {} for name in judged},
        {name: {} for name in list(judged)[1:]},
        _counts(next(iter(judged.values())), labels),
        tuple(np.array(classes)[~has_threshold].tolist()),
    )
    for family in families:
        names = {f"{key} of {name}": (key, name) for key, name in family.keys}
        intervals = bootstrap_statistics(
            family.statistics,
            labels,
            patients,
            measures=list(names),
            classes=classes,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
            **family.bounds,
        )
        for part, own in zip(found[:2], intervals[:2], strict=True):
            for model, values in own.items():
                part[model].update({names[name]: value for name, value in values.items()})
    return found


def summarise_decisions(found: Measured, classes: Sequence[str]) -> dict[str, Any]:
    """Arrange measures for summary.json: means, `per_class`, counts, classes without a threshold.

    Keys have the suffixes of `finetune.evaluate.summarise`.
    """
    parts = by_suffix(found.models, found.differences)
    means: dict[str, Any] = {}
    per_class: dict[str, dict[str, Any]] = {name: {} for name in classes}
    for suffix, part in parts.items():
        for (key, name), interval in part.items():
            written = interval_as_dict(interval)
            if name is not None:
                per_class[name][f"{key}{suffix}"] = written
            else:
                means[f"{key}{suffix}" if key == CHALLENGE else f"{key}_macro{suffix}"] = written
    for cell, counted in found.counts._asdict().items():
        for name, number in zip(classes, counted, strict=True):
            per_class[name][cell] = int(number)
    return {
        **means,
        "per_class": per_class,
        "classes_without_threshold": list(found.without_threshold),
    }


def _keys(names: Sequence[str], classes: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    return tuple((key, name) for key in names for name in (*classes, None))


def _with_means(values: Sequence[np.ndarray]) -> np.ndarray:
    """Put the mean over classes behind the classes of each measure."""
    return np.hstack([np.column_stack([value, macro(value)]) for value in values])


def _decision_family(
    judged: Mapping[str, Judged],
    labels: np.ndarray,
    classes: Sequence[str],
    has_threshold: np.ndarray,
    multi_label: bool,
) -> _Family:
    defined = defined_classes(labels)
    at_f1 = defined & has_threshold if multi_label else defined
    share = 1 / np.maximum(labels.sum(axis=1), 1)

    def of_run(decisions: Decisions, run: int, weights: np.ndarray) -> np.ndarray:
        counts = weighted_confusion(labels, decisions.f1[run], weights)
        shared = weighted_confusion(labels, decisions.f1[run], weights * share)
        specific = weighted_confusion(labels, decisions.specific[run], weights)
        measures = [sensitivity(counts), specificity(counts), f_beta(counts)]
        measures += [f_beta(shared, beta=2.0), g_beta(shared, beta=2.0)]
        fixed = [sensitivity(specific), specificity(specific)]
        known = [np.where(at_f1, value, np.nan) for value in measures]
        known += [np.where(defined & has_threshold, value, np.nan) for value in fixed]
        return _with_means(known)

    def statistic(decisions: Decisions) -> Statistic:
        runs = range(len(decisions.f1))
        return lambda weights: np.mean([of_run(decisions, r, weights) for r in runs], axis=0)

    return _Family(
        _keys([*AT_F1, *AT_SPECIFICITY], classes),
        {name: statistic(own.decisions) for name, own in judged.items()},
        {"lowest": 0.0, "highest": 1.0},
    )


def _calibration_family(
    judged: Mapping[str, Judged], labels: np.ndarray, classes: Sequence[str]
) -> _Family:
    def of_run(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
        error = weighted_calibration_error(labels, probabilities, weights)
        return _with_means([error, weighted_brier_score(labels, probabilities, weights)])

    def statistic(runs: np.ndarray) -> Statistic:
        return lambda weights: np.mean([of_run(run, weights) for run in runs], axis=0)

    return _Family(
        _keys(list(CALIBRATION), classes),
        {name: statistic(own.probabilities) for name, own in judged.items()},
        {"lowest": 0.0},
    )


def _challenge_family(
    judged: Mapping[str, Judged],
    labels: np.ndarray,
    classes: Sequence[str],
    challenge: ChallengeWeights,
) -> _Family:
    truth = scored_decisions(labels, classes, challenge)

    def statistic(runs: np.ndarray) -> Statistic:
        scored = [scored_decisions(run, classes, challenge) for run in runs]
        return lambda weights: np.mean(
            [weighted_challenge_score(truth, own, challenge, weights) for own in scored], axis=0
        )[:, None]

    return _Family(
        ((CHALLENGE, None),),
        {name: statistic(own.decisions.challenge) for name, own in judged.items()},
        {"highest": 1.0},
    )


def _counts(judged: Judged, labels: np.ndarray) -> Confusion:
    runs = [confusion(labels, called) for called in judged.decisions.f1]
    return Confusion(*(np.sum(cell, axis=0) for cell in zip(*runs, strict=True)))
