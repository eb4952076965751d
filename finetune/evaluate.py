"""Linear probes of several encoders on one task, and what the summary says of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finetune.linear_probe import LinearProbe, fit_linear_probe
from finetune.settings import FinetuneSettings
from finetune.tasks import Task
from lamae.bootstrap import BootstrapScores, Interval, bootstrap_scores

RANDOM = "random"
"""Name of the encoder with random weights; the encoder in question comes first."""


def probe_all(
    features: Mapping[str, tuple[np.ndarray, np.ndarray]], task: Task, settings: FinetuneSettings
) -> tuple[dict[str, LinearProbe], BootstrapScores]:
    """Fit a probe on each encoder's features and score all on the same resamples of patients.

    Args:
        features: by encoder, (records, width) of the training and of the evaluation recordings.
        task: labels and patients of both.
        settings: penalties, resamples and seed.
    """
    probes = {
        name: fit_linear_probe(
            train,
            task.train.labels,
            task.train.patients,
            classes=task.classes,
            multi_label=settings.multi_label,
            generator=np.random.default_rng([settings.seed, 0]),
            l2_grid=settings.l2_grid,
        )
        for name, (train, _) in features.items()
    }
    scores = {name: probes[name].scores(evaluation) for name, (_, evaluation) in features.items()}
    measured = bootstrap_scores(
        task.evaluation.labels,
        scores,
        task.evaluation.patients,
        classes=task.classes,
        generator=np.random.default_rng([settings.seed, 1]),
        resamples=settings.resamples,
    )
    return probes, measured


def summarise(measured: BootstrapScores) -> dict[str, Any]:
    """Arrange scores for summary.json: the encoder, the random one, and the paired difference."""
    (first, own), *_ = measured.models.items()
    parts = {"": own}
    if RANDOM in measured.differences and first != RANDOM:
        parts |= {"_random": measured.models[RANDOM], "_difference": measured.differences[RANDOM]}
    macros = {
        f"{metric}_macro{suffix}": _as_dict(getattr(part, f"{metric}_macro"))
        for suffix, part in parts.items()
        for metric in ("auroc", "auprc")
    }
    per_class = {
        name: {"positives": positives}
        | {
            f"{metric}{suffix}": _as_dict(getattr(part, metric)[name])
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


def _as_dict(interval: Interval) -> dict[str, float]:
    return {name: float(value) for name, value in interval._asdict().items()}
