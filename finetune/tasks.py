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
    """Recordings of the split of which the label set says nothing, left out."""
    without_class: int
    """Labelled recordings of the split with none of the classes, where those are left out."""

    def only(self, rows: Int[np.ndarray, " kept"]) -> "LabelledRows":
        """Keep the recordings of some rows, which must be in the order of this."""
        kept = np.isin(self.rows, rows)
        if not np.array_equal(self.rows[kept], rows):
            raise ValueError("rows to keep are not among those of the split, in their order")
        patients = [patient for patient, keep in zip(self.patients, kept, strict=True) if keep]
        return self._replace(rows=rows, labels=self.labels[kept], patients=patients)


class Task(NamedTuple):
    """What to learn from and what to evaluate on."""

    classes: tuple[str, ...]
    train: LabelledRows
    evaluation: LabelledRows


def make_task(corpus: Corpus, settings: FinetuneSettings) -> Task:
    """Select the labelled recordings of both splits.

    Unlabelled recordings are left out; those that have none of the classes are negative for all,
    or left out where each must have one. Raises InputError where a class, a label or a patient is
    not as a task needs it.
    """
    labels = corpus.labels(settings.label_set)
    train_rows = corpus.rows(settings.train_split)
    found = sorted({name for row in train_rows for name in labels[row] or ()})
    classes = settings.classes or tuple(found)
    fewest = 1 if settings.multi_label else 2
    if not fewest <= len(classes) == len(set(classes)) or not set(classes) <= set(found):
        raise InputError(
            f"classes of label set {settings.label_set!r}",
            value=", ".join(classes) or "none",
            expected=f"at least {fewest}, none twice, of the training split's {', '.join(found)}",
            remedy="Change classes=, label_set= or train_split=.",
        )
    demand = settings.require_class or not settings.multi_label
    evaluation_rows = corpus.rows(settings.eval_split)
    train = _select(corpus, labels, train_rows, classes, require_class=demand)
    evaluation = _select(corpus, labels, evaluation_rows, classes, require_class=demand)
    if not evaluation.labels.any():
        raise InputError(
            f"split {settings.eval_split!r} with label set {settings.label_set!r}",
            value=f"none of {len(evaluation_rows)} recordings has a class",
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
    *,
    require_class: bool,
) -> LabelledRows:
    labelled = np.array([row for row in rows if labels[row] is not None], dtype=int)
    matrix = np.array([[name in (labels[row] or ()) for name in classes] for row in labelled])
    matrix = matrix.reshape(len(labelled), len(classes)).astype(bool)
    kept = matrix.any(axis=1) | (not require_class)
    return LabelledRows(
        labelled[kept],
        matrix[kept],
        corpus.patients[labelled[kept]].tolist(),
        unlabelled=len(rows) - len(labelled),
        without_class=int((~kept).sum()),
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
