"""Ranking measures of all candidates with intervals, and their summary."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from finetune.data.tasks import Task
from finetune.experiment.candidates import KERNELS, KERNELS_AND_ENCODER, RANDOM, SUPERVISED
from finetune.settings import FinetuneSettings
from lamae.statistics.interval import Interval
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores

T = TypeVar("T")

DIFFERENCES = {
    RANDOM: "_difference",
    SUPERVISED: "_supervised_difference",
    KERNELS: "_kernels_difference",
}
"""By baseline, what the summary appends to a measure for the paired difference over it."""

FREQUENT = "_macro_frequent"
"""Suffix of a measure in the summary for its mean without the classes of few patients."""

ADDED = "added"
"""Name of the difference of encoder and kernels together over kernels by themselves."""


def measure(
    scores: Mapping[str, np.ndarray], task: Task, settings: FinetuneSettings
) -> BootstrapScores:
    """Score all candidates on the same resamples of the evaluation patients.

    `scores` are by name, (records, classes), the classifier in question first.
    """

    def score(some: Mapping[str, np.ndarray]) -> BootstrapScores:
        return bootstrap_scores(
            task.evaluation.labels,
            some,
            task.evaluation.patients,
            classes=task.classes,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
            min_patients=settings.min_positive_patients,
        )

    return with_added(scores, score)


def with_added(
    scores: Mapping[str, np.ndarray], score: Callable[[Mapping[str, np.ndarray]], BootstrapScores]
) -> BootstrapScores:
    """Score all and, where both are there, the gain of kernels and encoder over kernels.

    `score` must draw the same resamples each time.
    """
    found = score(scores)
    if KERNELS not in scores or KERNELS_AND_ENCODER not in scores:
        return found
    pair = {name: scores[name] for name in (KERNELS_AND_ENCODER, KERNELS)}
    added = score(pair).differences[KERNELS]
    return found._replace(differences=found.differences | {ADDED: added})


def summarise(measured: BootstrapScores) -> dict[str, Any]:
    """Arrange scores for summary.json: the classifier, its baselines, the paired differences.

    `auroc_macro` is the classifier's, `auroc_macro_random` and `auroc_macro_supervised` are those
    of the baselines, `auroc_macro_difference` is over random weights and
    `auroc_macro_supervised_difference` over the supervised network; `auroc_macro_added` is what
    encoder and kernels together have over kernels; likewise for each class. `auroc_macro` is over
    all classes; where some are of few patients, `classes_of_few_patients`, the headline is
    `auroc_macro_frequent`, over the others.
    """
    parts = by_suffix(measured.models, measured.differences)
    macros = {
        f"{metric}_macro{suffix}": interval_as_dict(getattr(part, f"{metric}_macro"))
        for suffix, part in parts.items()
        for metric in ("auroc", "auprc")
    }
    for suffix, part in parts.items():
        for metric, mean in (("auroc", part.auroc_frequent), ("auprc", part.auprc_frequent)):
            if mean is not None:
                macros[f"{metric}{FREQUENT}{suffix}"] = interval_as_dict(mean)
    per_class = {
        name: {"positives": positives, "positive_patients": measured.positive_patients[name]}
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
        "classes_of_few_patients": list(measured.few),
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
    if KERNELS_AND_ENCODER in models:
        parts[f"_{KERNELS_AND_ENCODER}"] = models[KERNELS_AND_ENCODER]
    if ADDED in differences:
        parts[f"_{ADDED}"] = differences[ADDED]
    return parts


def interval_as_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as summary.json holds it."""
    return {name: float(value) for name, value in interval._asdict().items()}
