"""Tasks: which recordings of a corpus a classifier learns from, and what they show."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from finetune.settings import FinetuneSettings
from lamae.corpus import Corpus
from lamae.errors import InputError


class LabelledRows(NamedTuple):
    """Labelled recordings of one split."""

    rows: Int[np.ndarray, " records"]
    """Their rows in the corpus."""
    labels: Bool[np.ndarray, "records classes"]
    """True where a recording has a class."""
    patients: list[str]
    """Who each recording is from."""
    unlabelled: int
    """Recordings of the split without any class of the label set, left out."""


class Task(NamedTuple):
    """What to learn from and what to evaluate on."""

    classes: tuple[str, ...]
    train: LabelledRows
    evaluation: LabelledRows


def make_task(corpus: Corpus, settings: FinetuneSettings) -> Task:
    """Select the labelled recordings of both splits.

    Recordings without any class of the label set are left out, as in the PTB-XL benchmark
    (Strodthoff et al. 2021). Raises InputError where a class, a label or a patient is not as a
    task needs it.
    """
    labels = corpus.labels(settings.label_set)
    train_rows = corpus.rows(settings.train_split)
    found = sorted({name for row in train_rows for name in labels[row] or ()})
    classes = settings.classes or tuple(found)
    if not 2 <= len(classes) == len(set(classes)) or not set(classes) <= set(found):
        raise InputError(
            f"classes of label set {settings.label_set!r}",
            value=", ".join(classes) or "none",
            expected=f"at least two, none twice, of the training split's {', '.join(found)}",
            remedy="Change classes=, label_set= or train_split=.",
        )
    train = _select(corpus, labels, train_rows, classes)
    evaluation = _select(corpus, labels, corpus.rows(settings.eval_split), classes)
    if not len(evaluation.rows):
        raise InputError(
            f"split {settings.eval_split!r} with label set {settings.label_set!r}",
            value=f"none of {evaluation.unlabelled} recordings has a class",
            expected=f"recordings with some of {', '.join(classes)}",
            remedy="Change eval_split=, label_set= or classes=.",
        )
    _check_patients(train, evaluation)
    if not settings.multi_label:
        _check_single(corpus, train, settings)
        _check_single(corpus, evaluation, settings)
    return Task(classes, train, evaluation)


def _select(
    corpus: Corpus,
    labels: list[tuple[str, ...] | None],
    rows: np.ndarray,
    classes: tuple[str, ...],
) -> LabelledRows:
    kept = np.array([row for row in rows if set(labels[row] or ()) & set(classes)], dtype=int)
    matrix = np.array([[name in (labels[row] or ()) for name in classes] for row in kept])
    patients = corpus.patients[kept].tolist()
    return LabelledRows(
        kept, matrix.reshape(len(kept), len(classes)), patients, len(rows) - len(kept)
    )


def _check_patients(train: LabelledRows, evaluation: LabelledRows) -> None:
    shared = sorted(set(train.patients) & set(evaluation.patients))
    if shared:
        raise InputError(
            "training and evaluation split",
            value=f"{len(shared)} patients in both, e.g. {shared[0]}",
            expected="no patient in both",
            remedy="Build the shards with a split by patient.",
        )


def _check_single(corpus: Corpus, selected: LabelledRows, settings: FinetuneSettings) -> None:
    several = np.flatnonzero(selected.labels.sum(axis=1) != 1)
    if len(several):
        key = corpus.keys[selected.rows[several[0]]]
        raise InputError(
            f"label set {settings.label_set!r}",
            value=f"{len(several)} recordings with several classes, e.g. {key}",
            expected="exactly one class each, as multi_label=false says",
            remedy="Give multi_label=true, or restrict classes=.",
        )
