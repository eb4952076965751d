"""All measures of a run's classifiers on the evaluation split."""

import logging
import math
from typing import Any, NamedTuple

import numpy as np

from finetune.evaluation.decision_measures import (
    ClassifierPredictions,
    measure_decisions,
    summarise_decisions,
)
from finetune.evaluation.operating_points import (
    Decisions,
    OperatingPoints,
    choose_operating_points,
    decide,
    exclusive_columns,
)
from finetune.evaluation.probability_measures import calibration_lines
from finetune.evaluation.ranking_measures import measure, summarise
from finetune.evaluation.rule_results import RuleResult, rule_results, rules_summary
from finetune.experiment.candidate_results import CandidateResult, ExperimentResults
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.statistics.challenge_metric import (
    EQUIVALENT_2020,
    ChallengeWeights,
    challenge_score,
    read_challenge_weights,
    scored_decisions,
)

_log = logging.getLogger(__name__)


class Assessment(NamedTuple):
    """Measures of a run, and what they were made from."""

    summary: dict[str, Any]
    """For summary.json: ranking, decisions and probabilities, means and by class."""
    predictions: dict[str, ClassifierPredictions]
    """By classifier, the one in question first."""
    rules: dict[str, list[RuleResult]]
    """Of the classifier in question, by class, thresholds by stated rules."""


def challenge_weights(
    settings: FinetuneSettings, classes: tuple[str, ...]
) -> ChallengeWeights | None:
    """Read the Challenge's table where one is given, and check that it fits the classes.

    Raises InputError where it is malformed, lacks sinus rhythm, or scores none of the classes.
    """
    if settings.challenge_weights is None:
        return None
    weights = read_challenge_weights(settings.challenge_weights, equivalent=EQUIVALENT_2020)
    nothing = np.zeros((1, len(weights.classes)), dtype=bool)
    challenge_score(nothing, nothing, weights)
    scored = scored_decisions(np.eye(len(classes), dtype=bool), classes, weights)
    if not scored.any():
        raise InputError(
            f"Challenge weights {settings.challenge_weights}",
            value=f"none of the classes {', '.join(classes[:3])}, ...",
            expected="classes that are SNOMED CT codes, equivalent ones joined by |",
            remedy="Change label_set= or classes=, or leave challenge_weights= out.",
        )
    unknown = [name for name, own in zip(classes, scored, strict=True) if not own.any()]
    if unknown:
        _log.warning("classes that the Challenge does not score: %s", ", ".join(unknown))
    return weights


def assess(
    results: ExperimentResults,
    settings: FinetuneSettings,
    challenge: ChallengeWeights | None = None,
) -> Assessment:
    """Measure all classifiers on the same resamples of the evaluation patients."""
    task, part = results.task, results.task.evaluation
    scores = {name: result.probabilities for name, result in results.by_candidate.items()}
    points = {
        name: choose_operating_points(result.held_out, task, challenge=challenge)
        for name, result in results.by_candidate.items()
    }
    predictions = {
        name: decided_predictions([result], [points[name]], settings, task.classes)
        for name, result in results.by_candidate.items()
    }
    found = measure_decisions(
        predictions,
        part.labels,
        part.patients,
        classes=task.classes,
        settings=settings,
        challenge=challenge,
    )
    own = next(iter(results.by_candidate.values()))
    rules = rule_results(own.probabilities, own.held_out, task, settings)
    summary = merge_measures(
        summarise(measure(scores, task, settings)),
        summarise_decisions(found, task.classes),
        {"per_class": _thresholds(next(iter(points.values())), task.classes, settings)},
        calibration_lines(part.labels, own.probabilities, part.patients, task.classes),
    )
    return Assessment(summary | rules_summary(rules), predictions, rules)


def merge_measures(*parts: dict[str, Any]) -> dict[str, Any]:
    """Merge parts of a summary, and what each has `per_class`, of which the first has all."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    names = parts[0]["per_class"]
    per_class = {
        n: {k: v for part in parts for k, v in part["per_class"][n].items()} for n in names
    }
    return merged | {"per_class": per_class}


def decided_predictions(
    by_candidate: list[CandidateResult],
    points: list[OperatingPoints],
    settings: FinetuneSettings,
    classes: tuple[str, ...],
) -> ClassifierPredictions:
    """Put together what one classifier says in one run or several."""
    exclusive = exclusive_columns(classes, settings.exclusive)
    runs = [
        decide(own, result.probabilities, multi_label=settings.multi_label, exclusive=exclusive)
        for result, own in zip(by_candidate, points, strict=True)
    ]
    probabilities = np.stack([result.probabilities for result in by_candidate])
    return ClassifierPredictions(
        probabilities, Decisions(*(np.stack(p) for p in zip(*runs, strict=True)))
    )


def _thresholds(
    points: OperatingPoints, classes: tuple[str, ...], settings: FinetuneSettings
) -> dict[str, dict[str, float | None]]:
    """Return the thresholds that decide each class; None for none, or where it is never called."""
    used = {"threshold_at_90_specificity": points.specific}
    if settings.multi_label:
        used["threshold"] = points.f1
    return {
        name: {
            key: float(values[column]) if math.isfinite(values[column]) else None
            for key, values in used.items()
        }
        for column, name in enumerate(classes)
    }
