"""Linear probes of several encoders on one task, and what the summary says of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from finetune.embeddings import Embedded, EmbeddingCache
from finetune.linear_probe import LinearProbe, fit_linear_probe
from finetune.settings import FinetuneSettings
from finetune.tasks import LabelledRows, Task
from lamae.bootstrap import BootstrapScores, Interval, bootstrap_scores
from lamae.encoder import Encoder
from lamae.errors import InputError

RANDOM = "random"
"""Name of the encoder with random weights; the encoder in question comes first."""


class Features(NamedTuple):
    """Features of several encoders of the same recordings."""

    by_encoder: dict[str, tuple[np.ndarray, np.ndarray]]
    """(records, width) of the training and of the evaluation recordings of `task`."""
    task: Task
    """What to learn, of the recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that could not."""


def embed_all(
    cache: EmbeddingCache, encoders: Mapping[str, Encoder], task: Task, *, max_unusable: float
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
            "train": _by_reason(train[first].unusable),
            "evaluation": _by_reason(evaluation[first].unusable),
        },
    )


def _embed_split(
    cache: EmbeddingCache,
    encoders: Mapping[str, Encoder],
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
        _check_unusable(split, first.unusable, len(part.rows), max_unusable)
    return found


def _by_reason(unusable: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, reason in unusable.items():
        found.setdefault(reason, []).append(key)
    return found


def _check_unusable(split: str, unusable: Mapping[str, str], records: int, most: float) -> None:
    if len(unusable) > most * records:
        key, reason = next(iter(unusable.items()))
        raise InputError(
            f"{split} split",
            value=f"{len(unusable)} of {records} recordings unusable, e.g. {key}: {reason}",
            expected=f"at most the share {most:g}",
            remedy="Build or copy the shards again, or raise max_unusable=.",
        )


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
    own, *_ = measured.models.values()
    parts = {"": own}
    if RANDOM in measured.differences:
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
