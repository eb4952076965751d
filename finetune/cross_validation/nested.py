"""Cross-validation by patient: every recording of a small cohort is evaluated once per repeat.

It is nested: outer folds evaluate alone, and what is chosen is chosen on their training patients:
the penalty and thresholds of a probe by inner folds, the epoch and thresholds of a trained
classifier on held-out patients. The joining of folds is in
finetune/cross_validation/out_of_fold.py.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from finetune.data.folds import check_folds, patient_folds
from finetune.data.tasks import Cohort, Task
from finetune.evaluation.operating_points import Decisions
from finetune.training.linear_probe import LinearProbe, fit_linear_probe
from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes


class FoldScores(NamedTuple):
    """Predictions of one classifier for the recordings that a fold evaluates."""

    probabilities: Float[np.ndarray, "records classes"]
    """Of each class."""
    decisions: Decisions
    """Its decisions, at thresholds chosen on its training patients."""


FitAndScore = Callable[[Task, int], Mapping[str, FoldScores]]
"""From a task, and the number of the fit, to what is said of its evaluation, by model."""


class OutOfFold(NamedTuple):
    """Scores of every recording by classifiers that have not seen its patient."""

    scores: dict[str, Float[np.ndarray, "repeats records classes"]]
    """By model, the one in question first."""
    decisions: dict[str, Decisions]
    """By model, by repeat: each fold's at its own thresholds, which a class has if all folds do."""
    fold: Int[np.ndarray, "repeats records"]
    """The fold in which a recording was evaluated."""


def draw_folds(
    cohort: Cohort, *, folds: int, repeats: int, seed: int
) -> Int[np.ndarray, "repeats records"]:
    """Deal the patients out anew for each repeat.

    Raises InputError where there are too few patients, or a class has them in one fold alone.
    """
    part, drawn = cohort.part, []
    for repeat in range(repeats):
        generator = np.random.default_rng([seed, 3, repeat])
        drawn.append(patient_folds(part.labels, part.patients, folds=folds, generator=generator))
        check_folds(part.labels, drawn[-1], cohort.classes)
    return np.stack(drawn)


def cross_validate(
    cohort: Cohort, fit_and_score: FitAndScore, *, folds: int, repeats: int, seed: int
) -> OutOfFold:
    """Fit on all folds but one and score that one, for each fold and repeat.

    `fit_and_score` sees tasks alone: any mode can be given. All folds are drawn before the first
    fit. Raises InputError as `draw_folds`.
    """
    part = cohort.part
    scores: dict[str, np.ndarray] = {}
    decisions: dict[str, Decisions] = {}
    drawn = draw_folds(cohort, folds=folds, repeats=repeats, seed=seed)
    shape = (repeats, *part.labels.shape)
    for repeat, fold in enumerate(drawn):
        for number in range(folds):
            own = fold == number
            task = Task(cohort.classes, part.where(~own), part.where(own))
            for model, found in fit_and_score(task, repeat * folds + number).items():
                scores.setdefault(model, np.full(shape, np.nan))[repeat, own] = found.probabilities
                called = decisions.setdefault(model, _nothing_called(shape))
                for whole, fold_own in zip(called[:3], found.decisions[:3], strict=True):
                    whole[repeat, own] = fold_own
                called.has_threshold[repeat] &= found.decisions.has_threshold
                called.challenge_decided[repeat] &= found.decisions.challenge_decided
    return OutOfFold(scores, decisions, drawn)


def _nothing_called(shape: tuple[int, int, int]) -> Decisions:
    f1, specific, challenge = np.zeros((3, *shape), dtype=bool)
    repeats, _, classes = shape
    has_threshold = np.ones((repeats, classes), dtype=bool)
    return Decisions(f1, specific, challenge, has_threshold, np.ones(repeats, dtype=bool))


def fit_nested_probe(
    features: Float[np.ndarray, "records width"],
    labels: Bool[np.ndarray, "records classes"],
    patients: list[str],
    *,
    classes: tuple[str, ...],
    multi_label: bool,
    l2_grid: tuple[float, ...],
    folds: int,
    generator: np.random.Generator,
) -> LinearProbe:
    """Fit a probe whose penalty has the highest mean macro AUROC over inner folds by patient.

    Inner folds that lack a class in what is left to learn from are passed over; of equal
    strengths the strongest wins. Predictions for an inner fold are by the fit to the others.
    Raises InputError where no inner fold is left.
    """
    fold = patient_folds(labels, patients, folds=folds, generator=generator)
    inner = [fold == number for number in range(folds)]
    hold_outs = [
        own
        for own in inner
        if defined_classes(labels[~own]).all() and defined_classes(labels[own]).any()
    ]
    if not hold_outs:
        raise InputError(
            "inner_folds",
            value=f"{folds} of {len(set(patients))} patients, each without a class in the others",
            expected="a fold without which every class is still there",
            remedy="Leave rare classes out of classes=, or give other inner_folds=.",
        )
    return fit_linear_probe(
        features,
        labels,
        patients,
        classes=classes,
        multi_label=multi_label,
        generator=generator,
        l2_grid=l2_grid,
        hold_outs=hold_outs,
    )
