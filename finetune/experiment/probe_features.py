"""Features of a task's recordings by several frozen encoders, and the probes fitted to them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from finetune.data.tasks import LabelledRows, Task
from finetune.data.usable import by_reason, check_unusable
from finetune.encoders.other_encoder import AnyEncoder
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import Embedded, EmbeddingCache
from finetune.training.linear_probe import LinearProbe, fit_linear_probe
from lamae.errors import InputError


class Features(NamedTuple):
    """Features of several encoders of the same recordings."""

    by_encoder: dict[str, tuple[np.ndarray, np.ndarray]]
    """(records, width) of the training and of the evaluation recordings of `task`."""
    task: Task
    """The task, of the recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that could not."""


def embed_all(
    cache: EmbeddingCache, encoders: Mapping[str, AnyEncoder], task: Task, *, max_unusable: float
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
    encoders: Mapping[str, AnyEncoder],
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
