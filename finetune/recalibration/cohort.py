"""Labelled recordings of a place, and the logits of a classifier for them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit

from finetune.classifiers.classifier import Architecture
from finetune.classifiers.folder import LoadedClassifier
from finetune.classifiers.scoring import score_recordings
from finetune.data.label_rules import has_class
from finetune.data.windows import loader_options
from finetune.processes import start_single
from finetune.recalibration.settings import RecalibrateSettings
from lamae.batches.dataset import Split
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

_SMALLEST = 1e-13
"""Probability, and distance from 1, below which logits are cut off."""


class Cohort(NamedTuple):
    """Recordings of a place that were scored, and their labels."""

    logits: Float[np.ndarray, "records classes"]
    """Of the classifier, without a calibration."""
    labels: Bool[np.ndarray, "records classes"]
    """True where a recording has a class."""
    patients: list[str]
    """Patient of each recording."""
    left_out: dict[str, int]
    """Recordings that were left out, by the reason."""


def read_cohort(loaded: LoadedClassifier, settings: RecalibrateSettings) -> Cohort:
    """Score the labelled recordings of some shards.

    Raises InputError where labels or recordings do not fit the classifier.
    """
    accelerator = start_single(settings)
    classifier, corpus = loaded.classifier, Corpus(settings.data, **settings.caching)
    plain = classifier.architecture.model_copy(update={"calibration": ()})
    rows, labels, left_out = _labelled(corpus, plain, settings)
    least = settings.min_leads or loaded.about.get("settings", {}).get("min_leads")
    reading = settings.model_copy(update={"min_leads": least})
    scored = score_recordings(
        classifier._replace(architecture=plain),
        Split(corpus, rows, plain.preprocess),
        loader_options(plain.preprocess, reading),
        accelerator=accelerator,
        name="recalibrate",
    )
    if scored.unusable:
        left_out["unusable"] = len(scored.unusable)
    values = scored.probabilities.clip(_SMALLEST, 1 - _SMALLEST)
    return Cohort(
        logit(values) if plain.multi_label else np.log(values),
        labels[scored.positions],
        corpus.patients[rows[scored.positions]].tolist(),
        left_out,
    )


def _labelled(
    corpus: Corpus, architecture: Architecture, settings: RecalibrateSettings
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    classes, given = architecture.classes, corpus.labels(settings.label_set)
    if unknown := sorted(set(settings.labels_as) - set(classes)):
        raise InputError(
            "labels_as",
            value=", ".join(unknown),
            expected=f"classes of the model: {', '.join(classes)}",
            remedy="Give labels_as={CLASS OF THE MODEL: label of the shards}.",
        )
    rows = corpus.rows_of(settings.splits)
    labelled = np.array([row for row in rows if given[row] is not None], dtype=int)
    names = [settings.labels_as.get(name, name) for name in classes]
    labels = has_class(given, labelled, names)
    kept = np.full(len(labelled), True) if architecture.multi_label else labels.sum(axis=1) == 1
    if not labels[kept].any():
        seen = sorted({name for row in labelled for name in given[row] or ()})
        raise InputError(
            f"label set {settings.label_set!r}",
            value=f"{', '.join(seen[:12]) or 'no label'}, in {len(labelled)} labelled recordings",
            expected=f"labels of the model's classes {', '.join(classes)}",
            remedy="Name another label_set=, or give labels_as=.",
        )
    counts = {"unlabelled": len(rows) - len(labelled), "not of one class": int((~kept).sum())}
    return labelled[kept], labels[kept], {name: n for name, n in counts.items() if n}
