"""Sections on the measures of a run: curves, decisions, probabilities, examples, audit."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finetune.evaluation.assessment import Assessment
from finetune.evaluation.decision_measures import ClassifierPredictions
from finetune.experiment.candidate_results import ExperimentResults
from finetune.experiment.candidates import Candidates
from finetune.reports.ecgs.section import example_section
from finetune.reports.page import SHOWN_AS, by_frequency
from finetune.reports.score_sections import (
    audit_section,
    calibration_section,
    confusion_section,
    curve_section,
    decision_section,
)
from finetune.reports.sections import Section
from finetune.reports.use_sections import benefit_section, rule_section
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.storage.corpus import Corpus


def score_sections(
    assessment: Assessment,
    results: ExperimentResults,
    candidates: Candidates,
    corpus: Corpus,
    settings: FinetuneSettings,
    summary: Mapping[str, Any],
) -> list[Section]:
    """Show the curves, decisions, probabilities, examples and audit of a run."""
    classes, labels = results.task.classes, results.task.evaluation.labels
    data = Split(corpus, results.task.evaluation.rows, candidates.preprocess)
    shown = as_shown(assessment.predictions)
    own = next(iter(assessment.predictions.values()))
    called = np.stack([own.decisions.f1[0], own.decisions.specific[0]])
    return [
        curve_section(labels, shown, classes, called),
        *([rule_section(assessment.rules, _apart(summary))] if assessment.rules else []),
        benefit_section(labels, own.probabilities[0], classes),
        *decided_sections(assessment.predictions, labels, classes, data, settings, summary),
    ]


def _apart(summary: Mapping[str, Any]) -> list[str]:
    """Return the classes from the most to the least frequent, those of few patients last."""
    few = summary["classes_of_few_patients"]
    return sorted(by_frequency(summary), key=lambda name: name in few)


def decided_sections(
    predictions: Mapping[str, ClassifierPredictions],
    labels: np.ndarray,
    classes: tuple[str, ...],
    data: Split,
    settings: FinetuneSettings,
    summary: Mapping[str, Any],
) -> list[Section]:
    """Show decisions, probabilities, examples and audit; single recordings of the first run.

    `labels` are bool (records, classes) of the recordings of `data`.
    """
    own = next(iter(predictions.values()))
    called = own.decisions.f1[0]
    sections = [
        decision_section(summary, multi_label=settings.multi_label),
        calibration_section(labels, as_shown(predictions), classes, summary),
    ]
    if not settings.multi_label:
        sections.append(confusion_section(labels, called, classes))
    if settings.examples:
        sections.append(
            example_section(
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


def as_shown(predictions: Mapping[str, ClassifierPredictions]) -> dict[str, np.ndarray]:
    """Return the probabilities of the first run of each model, by its name in a report."""
    return {SHOWN_AS.get(name, name): own.probabilities[0] for name, own in predictions.items()}
