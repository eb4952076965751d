"""Embeddings of several encoders on one task, measures of all contenders, and their summary."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from finetune.contenders import KERNELS, KERNELS_AND_ENCODER, RANDOM, SUPERVISED
from finetune.embeddings import AnyEmbedder, Embedded, EmbeddingCache
from finetune.linear_probe import LinearProbe, fit_linear_probe
from finetune.settings import FinetuneSettings
from finetune.tasks import LabelledRows, Task
from finetune.usable import by_reason, check_unusable
from lamae.bootstrap import BootstrapScores, Interval, bootstrap_scores
from lamae.errors import InputError

T = TypeVar("T")

DIFFERENCES = {
    RANDOM: "_difference",
    SUPERVISED: "_supervised_difference",
    KERNELS: "_kernels_difference",
}
"""By baseline, what the summary appends to a measure for the paired difference over it."""

ADDED = "added"
"""Name of the difference of encoder and kernels together over kernels alone."""


class Features(NamedTuple):
    """Features of several encoders of the same recordings."""

    by_encoder: dict[str, tuple[np.ndarray, np.ndarray]]
    """(records, width) of the training and of the evaluation recordings of `task`."""
    task: Task
    """What to learn, of the recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that could not."""


def embed_all(
    cache: EmbeddingCache, encoders: Mapping[str, AnyEmbedder], task: Task, *, max_unusable: float
) -> Features:
    """Embed both splits with each encoder, and leave unusable recordings out of all.

    Raises InputError where more than the share `max_unusable` of a split is unusable.
    """
    train, evaluation = (
        _embed_split(cache, encoders, part, split, max_unusable)
        for split, part in (("train", task.train), ("evaluation", task.evaluation))
    )
    first = next(iter(encoders))
    return Features(
        {name: (train[name].features, evaluation[name].features) for name in encoders},
        task._replace(
            train=task.train.only(train[first].rows),
            evaluation=task.evaluation.only(evaluation[first].rows),
        ),
        {
            "train": by_reason(train[first].unusable),
            "evaluation": by_reason(evaluation[first].unusable),
        },
    )


def _embed_split(
    cache: EmbeddingCache,
    encoders: Mapping[str, AnyEmbedder],
    part: LabelledRows,
    split: str,
    max_unusable: float,
) -> dict[str, Embedded]:
    found: dict[str, Embedded] = {}
    for name, encoder in encoders.items():
        found[name] = cache.embed(encoder, part.rows, name=f"{name}, {split} split")
        first = next(iter(found.values()))
        if not np.array_equal(found[name].rows, first.rows):
            raise InputError(
                f"embeddings of the {split} split",
                value=f"other recordings with the encoder {name!r} than with the first",
                expected="the same recordings with each encoder",
                remedy="The shards have changed since: delete the folder of embeddings.",
            )
        check_unusable(split, first.unusable, len(part.rows), max_unusable)
    return found


def fit_probe(
    features: np.ndarray, part: LabelledRows, task: Task, settings: FinetuneSettings
) -> LinearProbe:
    """Fit a probe on the features of some recordings of a task; the seed decides its hold-out."""
    return fit_linear_probe(
        features,
        part.labels,
        part.patients,
        classes=task.classes,
        multi_label=settings.multi_label,
        generator=np.random.default_rng([settings.seed, 0]),
        l2_grid=settings.l2_grid,
    )


def measure(
    scores: Mapping[str, np.ndarray], task: Task, settings: FinetuneSettings
) -> BootstrapScores:
    """Score all contenders on the same resamples of the evaluation patients.

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
        )

    return with_added(scores, score)


def with_added(
    scores: Mapping[str, np.ndarray], score: Callable[[Mapping[str, np.ndarray]], BootstrapScores]
) -> BootstrapScores:
    """Score all, and beside them what an encoder adds to untrained kernels, where both are there.

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
    encoder and kernels together have over kernels; likewise for each class.
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
    if KERNELS_AND_ENCODER in models:
        parts[f"_{KERNELS_AND_ENCODER}"] = models[KERNELS_AND_ENCODER]
    if ADDED in differences:
        parts[f"_{ADDED}"] = differences[ADDED]
    return parts


def interval_as_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as summary.json holds it."""
    return {name: float(value) for name, value in interval._asdict().items()}
