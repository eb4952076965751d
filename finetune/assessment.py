"""What a run measures of its classifiers on the evaluation split, and the sections that show it."""

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from finetune.contenders import Contest
from finetune.decision_measures import Judged, measure_decisions, summarise_decisions
from finetune.evaluate import measure, summarise
from finetune.operating_points import Decisions, OperatingPoints, choose_operating_points, decide
from finetune.outcomes import Compared, Outcome
from finetune.reports.error_examples import error_section
from finetune.reports.page import SHOWN_AS
from finetune.reports.score_sections import (
    audit_section,
    calibration_section,
    confusion_section,
    curve_section,
    decision_section,
)
from finetune.reports.sections import Section
from finetune.settings import FinetuneSettings
from lamae.challenge_metric import (
    EQUIVALENT_2020,
    ChallengeWeights,
    challenge_score,
    read_challenge_weights,
    scored_decisions,
)
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.errors import InputError

_log = logging.getLogger(__name__)


class Assessment(NamedTuple):
    """Measures of a run, and what they were made from."""

    summary: dict[str, Any]
    """For summary.json: ranking, decisions and probabilities, means and by class."""
    judged: dict[str, Judged]
    """By classifier, the one in question first."""


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
    compared: Compared, settings: FinetuneSettings, challenge: ChallengeWeights | None = None
) -> Assessment:
    """Measure all classifiers on the same resamples of the evaluation patients."""
    task, part = compared.task, compared.task.evaluation
    scores = {name: outcome.probabilities for name, outcome in compared.outcomes.items()}
    points = {
        name: choose_operating_points(outcome.held_out, task, challenge=challenge)
        for name, outcome in compared.outcomes.items()
    }
    judged = {
        name: judge([outcome], [points[name]], settings)
        for name, outcome in compared.outcomes.items()
    }
    found = measure_decisions(
        judged,
        part.labels,
        part.patients,
        classes=task.classes,
        settings=settings,
        challenge=challenge,
    )
    summary = merge_measures(
        summarise(measure(scores, task, settings)),
        summarise_decisions(found, task.classes),
        {"per_class": _thresholds(next(iter(points.values())), task.classes, settings)},
    )
    return Assessment(summary, judged)


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


def judge(
    outcomes: list[Outcome], points: list[OperatingPoints], settings: FinetuneSettings
) -> Judged:
    """Put together what one classifier says in one run or several."""
    runs = [
        decide(own, outcome.probabilities, multi_label=settings.multi_label)
        for outcome, own in zip(outcomes, points, strict=True)
    ]
    probabilities = np.stack([outcome.probabilities for outcome in outcomes])
    return Judged(probabilities, Decisions(*(np.stack(p) for p in zip(*runs, strict=True))))


def score_sections(
    assessment: Assessment,
    compared: Compared,
    contest: Contest,
    corpus: Corpus,
    settings: FinetuneSettings,
    summary: Mapping[str, Any],
) -> list[Section]:
    """Show the curves, decisions, probabilities, surest errors and audit of a run."""
    classes, labels = compared.task.classes, compared.task.evaluation.labels
    data = Split(corpus, compared.task.evaluation.rows, contest.preprocess)
    shown = as_shown(assessment.judged)
    return [
        curve_section(labels, shown, classes),
        *decided_sections(assessment.judged, labels, classes, data, settings, summary),
    ]


def decided_sections(
    judged: Mapping[str, Judged],
    labels: np.ndarray,
    classes: tuple[str, ...],
    data: Split,
    settings: FinetuneSettings,
    summary: Mapping[str, Any],
) -> list[Section]:
    """Show decisions, probabilities, surest errors and audit; single recordings of the first run.

    `labels` are bool (records, classes) of the recordings of `data`.
    """
    own = next(iter(judged.values()))
    called = own.decisions.f1[0]
    sections = [
        decision_section(summary, multi_label=settings.multi_label),
        calibration_section(labels, as_shown(judged), classes, summary),
    ]
    if not settings.multi_label:
        sections.append(confusion_section(labels, called, classes))
    if settings.examples:
        sections.append(
            error_section(
                data,
                labels,
                own.probabilities[0],
                called,
                classes=classes,
                most=settings.examples,
                decided=own.decisions.has_threshold[0] if settings.multi_label else None,
            )
        )
    return [*sections, audit_section(summary["audit"])]


def as_shown(judged: Mapping[str, Judged]) -> dict[str, np.ndarray]:
    """Return the probabilities of the first run of each model, by its name in a report."""
    return {SHOWN_AS.get(name, name): own.probabilities[0] for name, own in judged.items()}


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
