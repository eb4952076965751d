"""Ranking measures of all candidates with intervals, and their summary."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from finetune.data.tasks import Task
from finetune.experiment.candidates import RANDOM, SUPERVISED
from finetune.settings import FinetuneSettings
from lamae.statistics.interval import Interval
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores

T = TypeVar("T")

DIFFERENCES = {RANDOM: "_difference", SUPERVISED: "_supervised_difference"}
"""By baseline, what the summary appends to a measure for the paired difference over it."""


def measure(
    scores: Mapping[str, np.ndarray], task: Task, settings: FinetuneSettings
) -> BootstrapScores:
    """Score all candidates on the same resamples of the evaluation patients.

    `scores` are by name, (records, classes), the classifier in question first.
    """
    return bootstrap_scores(
        task.evaluation.labels,
        scores,
        task.evaluation.patients,
        classes=task.classes,
        generator=np.random.default_rng([settings.seed, 1]),
        resamples=settings.resamples,
    )


def summarise(measured: BootstrapScores) -> dict[str, Any]:
    """Arrange scores for summary.json: the classifier, its baselines, the paired differences.

    `auroc_macro` is the classifier's, `auroc_macro_random` and `auroc_macro_supervised` are those
    of the baselines, `auroc_macro_difference` is over random weights and
    `auroc_macro_supervised_difference` over the supervised network; likewise for each class.
    """
    parts = by_suffix(measured.models, measured.differences)
    macros = {
        f"{metric}_macro{suffix}": interval_as_dict(getattr(part, f"{metric}_macro"))
        for suffix, part in parts.items()
        for metric in ("auroc", "auprc")
    }
    per_class = {
        name: {"positives": positives}
        | {
            f"{metric}{suffix}": interval_as_dict(getattr(part, metric)[name])
            for suffix, part in parts.items()
            for metric in ("auroc", "auprc")
            if name in getattr(part, metric)
        }
        for name, positives in measured.positive_records.items()
    }
    return {
        **macros,
        "per_class": per_class,
        "classes_left_out": list(measured.left_out),
        "resamples": measured.resamples,
        "level": measured.level,
    }


def by_suffix(models: Mapping[str, T], differences: Mapping[str, T]) -> dict[str, T]:
    """Return what belongs to the classifier, its baselines and differences, by suffix of a key."""
    own, *_ = models.values()
    parts = {"": own}
    for baseline, difference in DIFFERENCES.items():
        if baseline in differences:
            parts[f"_{baseline}"] = models[baseline]
            parts[difference] = differences[baseline]
    return parts


def interval_as_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as summary.json holds it."""
    return {name: float(value) for name, value in interval._asdict().items()}
