"""Results of candidates: probabilities, thresholds, facts on their training."""

from typing import Any, NamedTuple

import numpy as np

from finetune.classifiers.classifier import Classifier
from finetune.data.hold_out import HeldOut
from finetune.data.tasks import Task
from finetune.training.fine_tuning import Reached
from finetune.training.linear_probe import LinearProbe
from lamae.statistics.thresholds import choose_thresholds


class CandidateResult(NamedTuple):
    """Predictions of one candidate for the evaluation split, and facts on its training."""

    probabilities: np.ndarray
    """float64 (records, classes) of the evaluation split."""
    thresholds: np.ndarray
    """float64 (classes,), chosen on held-out patients of the training split; NaN for none."""
    facts: dict[str, Any]
    """Of a probe `l2` and `gradient`; else `best_epoch` and `epochs`; always `parameters`."""
    lead_weights: np.ndarray | None = None
    """float64 (records, leads); None where the classifier knows none."""
    gate: np.ndarray | None = None
    """float64 (records,); None where there is none."""
    held_out: HeldOut | None = None
    """Of the training split, what thresholds are chosen on; None where nothing was held out."""
    classifier: Classifier | None = None
    """The classifier, with the weights that it was scored with; None for a probe of kernels."""


class ExperimentResults(NamedTuple):
    """Results of all candidates on the same recordings."""

    by_candidate: dict[str, CandidateResult]
    """By name, the classifier in question first."""
    task: Task
    """The task, of the recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that could not."""


def probe_result(probe: LinearProbe, evaluation: np.ndarray, task: Task) -> CandidateResult:
    """Score the evaluation recordings by a probe; its thresholds are of its held-out patients."""
    thresholds = np.full(len(task.classes), np.nan)
    if probe.held_out is not None:
        thresholds = thresholds_of(task, probe.held_out.records, probe.held_out.probabilities)
    size = probe.weight.size + probe.bias.size
    facts = {"l2": probe.l2, "gradient": probe.gradient, "parameters": size}
    return CandidateResult(probe.scores(evaluation), thresholds, facts, held_out=probe.held_out)


def thresholds_of(task: Task, held_out: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Choose for each class the threshold with the highest F1 on the held-out patients."""
    patients = np.array(task.train.patients)[held_out].tolist()
    labels = task.train.labels[held_out]
    return choose_thresholds(labels, probabilities, patients, classes=task.classes).values


def facts_of(classifier: Classifier, reached: Reached) -> dict[str, Any]:
    """Return the epochs of a training and the size of its classifier."""
    epochs = [epoch._asdict() for epoch in reached.history]
    return {"best_epoch": reached.best, "epochs": epochs, **size_of(classifier)}


def size_of(classifier: Classifier) -> dict[str, int]:
    """Return the number of parameters."""
    return {"parameters": sum(p.numel() for p in classifier.model.parameters())}
