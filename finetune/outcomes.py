"""What comes of contenders: probabilities, thresholds, facts."""

from typing import Any, NamedTuple

import numpy as np

from finetune.classifiers import Classifier
from finetune.hold_out import HeldOut
from finetune.linear_probe import LinearProbe
from finetune.tasks import Task
from finetune.training import Reached
from lamae.thresholds import choose_thresholds


class Outcome(NamedTuple):
    """What came of one contender."""

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
    """What the outcome is of, with the weights that it was scored with."""


class Compared(NamedTuple):
    """What came of all contenders."""

    outcomes: dict[str, Outcome]
    """By name, the classifier in question first."""
    task: Task
    """What they learnt, of the recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that could not."""


def probed(probe: LinearProbe, evaluation: np.ndarray, task: Task) -> Outcome:
    """Score the evaluation recordings by a probe; its thresholds are of its held-out patients."""
    thresholds = np.full(len(task.classes), np.nan)
    if probe.held_out is not None:
        thresholds = thresholds_of(task, probe.held_out.records, probe.held_out.probabilities)
    size = probe.weight.size + probe.bias.size
    facts = {"l2": probe.l2, "gradient": probe.gradient, "parameters": size}
    return Outcome(probe.scores(evaluation), thresholds, facts, held_out=probe.held_out)


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
