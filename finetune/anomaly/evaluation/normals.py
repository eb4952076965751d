"""Normal and abnormal recordings by their labels, and their division by patient."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from finetune.anomaly.settings import NormalRule
from finetune.data.hold_out import draw_hold_out
from finetune.data.tasks import check_patients
from lamae.errors import InputError
from lamae.storage.corpus import Corpus


class LabelledRecordings(NamedTuple):
    """Recordings of which the labels say whether they are normal."""

    rows: Int[np.ndarray, " records"]
    """Their rows in the corpus."""
    abnormal: Bool[np.ndarray, " records"]
    """True where the labels say more than normal."""
    patients: list[str]
    """Patient of each."""

    def where(self, kept: Bool[np.ndarray, " records"]) -> "LabelledRecordings":
        """Keep the recordings for which `kept` is True."""
        patients = [patient for patient, keep in zip(self.patients, kept, strict=True) if keep]
        return LabelledRecordings(self.rows[kept], self.abnormal[kept], patients)

    @property
    def normals(self) -> Int[np.ndarray, " normal"]:
        """Rows of the normal ones."""
        return self.rows[~self.abnormal]


class AnomalyTask(NamedTuple):
    """Recordings to train a detector on, to choose its threshold on, and to evaluate it on."""

    train: Int[np.ndarray, " records"]
    """Rows of normal recordings to learn from."""
    validation: LabelledRecordings
    """Recordings of other patients of the training split."""
    evaluation: LabelledRecordings
    """Recordings of the evaluation split."""
    without_class: int
    """Recordings of both splits that are left out because the labels say nothing."""


def make_anomaly_task(
    corpus: Corpus,
    *,
    label_set: str,
    normal_class: str,
    rule: NormalRule,
    splits: tuple[str, str],
    hold_out: float,
    seed: int,
) -> AnomalyTask:
    """Divide the recordings of the training and the evaluation split, by patient.

    Args:
        corpus: labelled recordings.
        label_set: labels that say whether a recording is normal; one without a label of the set
            is left out.
        normal_class: the class of normal recordings.
        rule: what a recording with other classes as well counts as.
        splits: names of the training and of the evaluation split.
        hold_out: share of the training patients to choose thresholds on.
        seed: decides who is held out.

    Raises InputError where a split lacks normal or abnormal recordings, or patients are shared.
    """
    train, evaluation = (
        label_recordings(
            corpus,
            corpus.rows(split),
            named=f"split {split!r}",
            label_set=label_set,
            normal_class=normal_class,
            rule=rule,
        )
        for split in splits
    )
    check_patients(train.patients, evaluation.patients)
    held_out = draw_hold_out(
        train.abnormal[:, None],
        train.patients,
        generator=np.random.default_rng([seed, 1]),
        share=hold_out,
    )
    labelled = len(train.rows) + len(evaluation.rows)
    return AnomalyTask(
        train.where(~held_out).normals,
        train.where(held_out),
        evaluation,
        without_class=sum(len(corpus.rows(split)) for split in splits) - labelled,
    )


def label_recordings(
    corpus: Corpus,
    rows: Int[np.ndarray, " some"],
    *,
    named: str,
    label_set: str,
    normal_class: str,
    rule: NormalRule,
) -> LabelledRecordings:
    """Return those of some recordings whose labels say whether they are normal.

    `named` is what an error calls these recordings; see `make_anomaly_task` for the others.
    Raises InputError where all are normal, or none is.
    """
    labels = corpus.labels(label_set)
    known = np.array([row for row in rows if labels[row]], dtype=np.int64)
    classes = [set(labels[row] or ()) for row in known]
    normal = [
        found == {normal_class} if rule == "only" else normal_class in found for found in classes
    ]
    part = LabelledRecordings(known, ~np.array(normal, dtype=bool), corpus.patients[known].tolist())
    if part.abnormal.all() or not part.abnormal.any():
        raise InputError(
            f"{named} with label set {label_set!r}",
            value=f"{part.abnormal.sum()} of {len(part.rows)} recordings are not normal",
            expected=f"some of class {normal_class}, and some others",
            remedy="Change label_set=, normal_class= or the splits.",
        )
    return part
