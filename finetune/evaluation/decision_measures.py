"""Measures of decisions and of probabilities, each with its interval by patient.

Sensitivity, specificity and predictive values of a class have exact intervals
(finetune/evaluation/proportion_measures.py), all else and all differences resampled ones.
Decisions are those of finetune/evaluation/operating_points.py. F2 and G2 share a recording between
its labels as in Challenge 2020, with a beta of 2; equivalent classes are not merged. Means are over
the classes that every compared classifier has a threshold for in all of its runs and folds. With
the Challenge's weights the means of F2 and G2 are the Challenge's own: over its scored classes,
equivalent ones merged, and 0 for a class without a positive recording that is called.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.evaluation.challenge_measures import (
    CHALLENGE,
    challenge_means,
    challenge_statistics,
)
from finetune.evaluation.operating_points import Decisions
from finetune.evaluation.proportion_measures import measure_proportions, with_proportions
from finetune.evaluation.ranking_measures import by_suffix, interval_as_dict
from finetune.settings import FinetuneSettings
from lamae.statistics.calibration import (
    bins_for,
    weighted_brier_score,
    weighted_calibration_error,
)
from lamae.statistics.challenge_metric import ChallengeWeights
from lamae.statistics.interval import Interval
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.metrics import defined_classes, macro
from lamae.statistics.patient_resampling import Statistic
from lamae.statistics.ranking_of_few import effective_patients
from lamae.statistics.thresholds import (
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


class ClassifierPredictions(NamedTuple):
    """Predictions of one classifier for the evaluation recordings, of one run or of several."""

    probabilities: Float[np.ndarray, "runs records classes"]
    """Of each class."""
    decisions: Decisions
    """Its decisions, each of them by run."""


class Measured(NamedTuple):
    """Measures of all classifiers on the same resamples of patients."""

    models: dict[str, dict[tuple[str, str | None], Interval]]
    """By classifier, and by key and class; of means over classes the class is None."""
    differences: dict[str, dict[tuple[str, str | None], Interval]]
    """The first classifier minus each other."""
    counts: Confusion
    """Recordings of the first at its thresholds of highest F1, of all runs, by class."""
    without_threshold: tuple[str, ...]
    """Classes that the held-out patients of some classifier, run or fold do not tell apart."""


class _Family(NamedTuple):
    """Measures that share their bounds."""

    keys: tuple[tuple[str, str | None], ...]
    statistics: dict[str, Statistic]
    bounds: dict[str, float]


def measure_decisions(
    predictions: Mapping[str, ClassifierPredictions],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: tuple[str, ...],
    settings: FinetuneSettings,
    challenge: ChallengeWeights | None = None,
) -> Measured:
    """Measure decisions and probabilities of classifiers, the one in question first.

    Resamples are those of `finetune.evaluation.ranking_measures.measure`. A classifier without the
    one threshold of all classes has no Challenge score, and where the first has none there is none.
    Raises InputError as `lamae.statistics.measure_intervals.measure_intervals` does.
    """
    has_threshold = np.all(
        [own.decisions.has_threshold.all(axis=0) for own in predictions.values()], 0
    )
    families = [
        _decision_family(
            predictions, labels, classes, has_threshold, settings.multi_label, challenge
        ),
        _calibration_family(predictions, labels, classes),
    ]
    scored = {
        name: own for name, own in predictions.items() if own.decisions.challenge_decided.all()
    }
    if challenge is not None and next(iter(predictions)) in scored:
        decisions = {name: own.decisions for name, own in scored.items()}
        statistics = challenge_statistics(decisions, labels, classes, challenge)
        families.append(_Family(((CHALLENGE, None),), statistics, {"highest": 1.0}))
    found = Measured(
        {name: {} for name in predictions},
        {name: {} for name in list(predictions)[1:]},
        _counts(next(iter(predictions.values())), labels),
        tuple(np.array(classes)[~has_threshold].tolist()),
    )
    fewest = _fewest_patients(labels, patients, classes)
    for family in families:
        names = {f"{key} of {name}": (key, name) for key, name in family.keys}
        intervals = measure_intervals(
            family.statistics,
            labels,
            patients,
            measures=list(names),
            classes=classes,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
            fewest=[fewest[name] for _, name in family.keys],
            **family.bounds,
        )
        for part, measured in zip(found[:2], intervals[:2], strict=True):
            for model, values in measured.items():
                part[model].update({names[name]: value for name, value in values.items()})
    for name, own in predictions.items():
        exact = measure_proportions(
            own.decisions,
            labels,
            patients,
            classes=classes,
            decided=has_threshold | (not settings.multi_label),
            has_threshold=has_threshold,
        )
        with_proportions(found.models[name], exact)
    return found


def summarise_decisions(found: Measured, classes: Sequence[str]) -> dict[str, Any]:
    """Arrange measures for summary.json: means, `per_class`, counts, classes without a threshold.

    Keys have the suffixes of `finetune.evaluation.ranking_measures.summarise`.
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


def _fewest_patients(
    labels: np.ndarray, patients: Sequence[str], classes: Sequence[str]
) -> dict[str | None, float]:
    """Return, of each class and under None of all, how many patients have it, or lack it."""
    _, number = np.unique(np.asarray(patients), return_inverse=True)
    of_class = {
        name: effective_patients(labels[:, column], number).fewer
        for column, name in enumerate(classes)
    }
    known = [patients for patients in of_class.values() if patients]
    fewest: dict[str | None, float] = {None: min(known, default=1.0)}
    fewest.update(of_class)
    return fewest


def _keys(names: Sequence[str], classes: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    return tuple((key, name) for key in names for name in (*classes, None))


def _with_means(
    values: Mapping[str, np.ndarray], means: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """Put the mean over classes behind the classes of each measure, or another that is given."""
    means = {key: macro(value) for key, value in values.items()} | dict(means or {})
    return np.hstack([np.column_stack([value, means[key]]) for key, value in values.items()])


def _decision_family(
    predictions: Mapping[str, ClassifierPredictions],
    labels: np.ndarray,
    classes: Sequence[str],
    has_threshold: np.ndarray,
    multi_label: bool,
    challenge: ChallengeWeights | None,
) -> _Family:
    defined = defined_classes(labels)
    at_f1 = defined & has_threshold if multi_label else defined
    share = 1 / np.maximum(labels.sum(axis=1), 1)
    means_of = challenge_means(
        labels, classes, has_threshold if multi_label else np.ones_like(has_threshold), challenge
    )

    def of_run(decisions: Decisions, run: int, weights: np.ndarray) -> np.ndarray:
        counts = weighted_confusion(labels, decisions.f1[run], weights)
        shared = weighted_confusion(labels, decisions.f1[run], weights * share)
        specific = weighted_confusion(labels, decisions.specific[run], weights)
        measures = [sensitivity(counts), specificity(counts), f_beta(counts)]
        measures += [f_beta(shared, beta=2.0), g_beta(shared, beta=2.0)]
        fixed = [sensitivity(specific), specificity(specific)]
        known = [np.where(at_f1, value, np.nan) for value in measures]
        known += [np.where(defined & has_threshold, value, np.nan) for value in fixed]
        by_key = dict(zip([*AT_F1, *AT_SPECIFICITY], known, strict=True))
        return _with_means(by_key, means_of(decisions.f1[run], weights))

    def statistic(decisions: Decisions) -> Statistic:
        runs = range(len(decisions.f1))
        return lambda weights: np.mean([of_run(decisions, r, weights) for r in runs], axis=0)

    return _Family(
        _keys([*AT_F1, *AT_SPECIFICITY], classes),
        {name: statistic(own.decisions) for name, own in predictions.items()},
        {"lowest": 0.0, "highest": 1.0},
    )


def _calibration_family(
    predictions: Mapping[str, ClassifierPredictions], labels: np.ndarray, classes: Sequence[str]
) -> _Family:
    bins = [bins_for(positive) for positive in labels.T]

    def of_run(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
        error = weighted_calibration_error(labels, probabilities, weights, bins=bins)
        brier = weighted_brier_score(labels, probabilities, weights)
        return _with_means(dict(zip(CALIBRATION, (error, brier), strict=True)))

    def statistic(runs: np.ndarray) -> Statistic:
        return lambda weights: np.mean([of_run(run, weights) for run in runs], axis=0)

    return _Family(
        _keys(list(CALIBRATION), classes),
        {name: statistic(own.probabilities) for name, own in predictions.items()},
        {"lowest": 0.0},
    )


def _counts(predictions: ClassifierPredictions, labels: np.ndarray) -> Confusion:
    runs = [confusion(labels, called) for called in predictions.decisions.f1]
    return Confusion(*(np.sum(cell, axis=0) for cell in zip(*runs, strict=True)))
