"""Tasks: which recordings of a corpus a classifier learns from, and what they show."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from finetune.data.label_fractions import patient_share
from finetune.data.label_rules import (
    EQUIVALENT,
    Classes,
    check_names,
    has_class,
    icd10_classes,
    rows_where,
)
from finetune.data.settings import TaskSettings
from lamae.errors import InputError
from lamae.statistics.metrics import left_out
from lamae.storage.corpus import Corpus

_log = logging.getLogger(__name__)
_NAMED = 12


class LabelledRows(NamedTuple):
    """Labelled recordings of one split."""

    rows: Int[np.ndarray, " records"]
    """Their rows in the corpus."""
    labels: Bool[np.ndarray, "records classes"]
    """True where a recording has a class."""
    patients: list[str]
    """Patient of each recording."""
    unlabelled: int
    """Recordings of the split of which the label set says nothing, left out."""
    without_class: int
    """Labelled recordings of the split with none of the classes, where those are left out."""
    several_classes: int = 0
    """Recordings of the split with several classes, where those are left out."""

    def only(self, rows: Int[np.ndarray, " kept"]) -> "LabelledRows":
        """Keep the recordings of some rows, which must be in the order of this."""
        kept = np.isin(self.rows, rows)
        if not np.array_equal(self.rows[kept], rows):
            raise ValueError("rows to keep are not among those of the split, in their order")
        return self.where(kept)

    def where(self, kept: Bool[np.ndarray, " records"]) -> "LabelledRows":
        """Keep the recordings for which `kept` is True."""
        patients = [patient for patient, keep in zip(self.patients, kept, strict=True) if keep]
        return self._replace(rows=self.rows[kept], labels=self.labels[kept], patients=patients)


class Task(NamedTuple):
    """Recordings to learn from and recordings to evaluate on."""

    classes: tuple[str, ...]
    train: LabelledRows
    evaluation: LabelledRows


class Cohort(NamedTuple):
    """Labelled recordings that are not divided yet, as for a cross-validation."""

    classes: tuple[str, ...]
    """Names of the columns of the labels."""
    part: LabelledRows
    """All recordings."""


def make_task(corpus: Corpus, settings: TaskSettings) -> Task:
    """Select the labelled recordings of both splits.

    Unlabelled recordings are left out; those that have none of the classes are negative for all,
    or left out where each must have one. Raises InputError where a class, a label or a patient is
    not as a task needs it.
    """
    labels = _labels(corpus, settings)
    train_rows = rows_where(corpus, corpus.rows(settings.train_split), settings.where)
    evaluation_rows = rows_where(
        corpus,
        corpus.rows(settings.eval_split),
        {**settings.where, **settings.evaluate_where},
    )
    classes = _classes(corpus, labels, train_rows, settings, "the training split")
    train = _select(corpus, labels, train_rows, classes, settings)
    evaluation = _select(corpus, labels, evaluation_rows, classes, settings)
    if not evaluation.labels.any():
        raise InputError(
            f"split {settings.eval_split!r} with label set {settings.label_set!r}",
            value=f"none of {len(evaluation_rows)} recordings has a class",
            expected=f"recordings with some of {_some(classes)}",
            remedy="Change eval_split=, label_set= or classes=.",
        )
    if "training_patients" not in settings.allow_overlap:
        check_patients(train.patients, evaluation.patients)
    return Task(classes, _share(train, classes, settings), evaluation)


def make_cohort(corpus: Corpus, settings: TaskSettings, splits: Sequence[str]) -> Cohort:
    """Select the labelled recordings of several splits together, in the order of the corpus.

    Raises InputError as `make_task`.
    """
    labels = _labels(corpus, settings)
    rows = np.sort(np.concatenate([corpus.rows(split) for split in splits]))
    rows = rows_where(corpus, rows, settings.where)
    classes = _classes(corpus, labels, rows, settings, f"the splits {', '.join(splits)}")
    return Cohort(classes, _select(corpus, labels, rows, classes, settings))


def _labels(corpus: Corpus, settings: TaskSettings) -> Classes:
    labels = corpus.labels(settings.label_set)
    return labels if settings.icd10 is None else icd10_classes(labels, settings.icd10)


def _classes(
    corpus: Corpus, labels: Classes, rows: np.ndarray, settings: TaskSettings, where: str
) -> tuple[str, ...]:
    """Return the classes of a task; raises InputError where they cannot be told apart."""
    found = sorted({name for row in rows for name in labels[row] or ()})
    if settings.classes is None:
        check_names(corpus, rows, labels, settings.label_set)
    classes = settings.classes or tuple(found)
    lacking = [name for name in classes if {name, *name.split(EQUIVALENT)}.isdisjoint(found)]
    if lacking and settings.absent_classes == "leave_out":
        _log.warning("classes that %s lacks are left out: %s", where, ", ".join(lacking))
        classes, lacking = tuple(name for name in classes if name not in lacking), []
    fewest = 1 if settings.multi_label else 2
    if not fewest <= len(classes) == len(set(classes)) or lacking:
        raise InputError(
            f"classes of label set {settings.label_set!r}",
            value=_some(lacking or classes),
            expected=f"at least {fewest}, none twice, of {where}'s {_some(found)}",
            remedy="Change classes=, label_set= or train_split=, or give "
            "absent_classes=leave_out to do without those that are absent.",
        )
    return classes


def _select(
    corpus: Corpus,
    labels: Classes,
    rows: np.ndarray,
    classes: tuple[str, ...],
    settings: TaskSettings,
) -> LabelledRows:
    labelled = np.array([row for row in rows if labels[row] is not None], dtype=int)
    matrix = has_class(labels, labelled, classes)
    number = matrix.sum(axis=1)
    without = (number == 0) & (settings.require_class or not settings.multi_label)
    several = (number > 1) & (not settings.multi_label)
    if several.any() and settings.several_classes == "error":
        key = corpus.keys[labelled[np.argmax(several)]]
        raise InputError(
            f"label set {settings.label_set!r}",
            value=f"{several.sum()} recordings with several classes, e.g. {key}",
            expected="exactly one class each, as multi_label=false says",
            remedy="Give multi_label=true, restrict classes=, or several_classes=leave_out.",
        )
    kept = ~without & ~several
    return LabelledRows(
        labelled[kept],
        matrix[kept],
        corpus.patients[labelled[kept]].tolist(),
        unlabelled=len(rows) - len(labelled),
        without_class=int(without.sum()),
        several_classes=int(several.sum()),
    )


def _share(train: LabelledRows, classes: tuple[str, ...], settings: TaskSettings) -> LabelledRows:
    """Keep label_fraction of the patients; raises InputError where that loses a class."""
    if settings.label_fraction == 1:
        return train
    kept = train.where(
        patient_share(
            train.labels,
            train.patients,
            share=settings.label_fraction,
            seed=settings.subset_seed,
        )
    )
    lost = set(left_out(kept.labels, classes)) - set(left_out(train.labels, classes))
    if lost:
        raise InputError(
            f"label_fraction {settings.label_fraction:g}, subset_seed {settings.subset_seed}",
            value=f"{len(set(kept.patients))} patients, without positive or negative recordings "
            f"of {_some(sorted(lost))}",
            expected="recordings of each class and of its opposite",
            remedy="Give a larger label_fraction=, or leave the class out of classes=.",
        )
    return kept


def check_patients(train: Sequence[str], evaluation: Sequence[str]) -> None:
    """Raise InputError where a patient is in both splits."""
    shared = sorted(set(train) & set(evaluation))
    if shared:
        raise InputError(
            "training and evaluation split",
            value=f"{len(shared)} patients in both, e.g. {shared[0]}",
            expected="no patient in both",
            remedy="Build the shards with a split by patient.",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more if names else "none"
