"""Operating points: thresholds chosen on held-out training patients, and what they decide.

A classifier's evaluation labels choose nothing. A class that the held-out patients do not tell
apart has no threshold (NaN) and is never called positive. Where each recording has exactly one
class, the likeliest is called, and thresholds are for a fixed specificity alone.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.classifiers.scoring import called_positive
from finetune.data.hold_out import HeldOut
from finetune.data.tasks import Task
from lamae.errors import InputError
from lamae.statistics.challenge_metric import ChallengeWeights, challenge_score, scored_decisions
from lamae.statistics.thresholds import (
    choose_common_threshold,
    choose_thresholds,
    f_beta,
    sensitivity_at,
)

SPECIFICITY = 0.9
"""The specificity at which sensitivity is asked for."""

_NAMED = 5
_COMMON = np.linspace(0.01, 0.99, 99).tolist()
"""Candidates for one threshold of all classes."""


class OperatingPoints(NamedTuple):
    """Thresholds of one classifier."""

    f1: Float[np.ndarray, " classes"]
    """Thresholds of the highest F1."""
    specific: Float[np.ndarray, " classes"]
    """Thresholds of the highest sensitivity at a specificity of `SPECIFICITY`."""
    challenge: float
    """Of all classes, where the Challenge score is highest; NaN if unasked or none is held out."""


class Decisions(NamedTuple):
    """Recordings that a classifier calls positive."""

    f1: Bool[np.ndarray, "*runs records classes"]
    """At the thresholds of highest F1, or the likeliest class where there is exactly one."""
    specific: Bool[np.ndarray, "*runs records classes"]
    """At the thresholds of a fixed specificity."""
    challenge: Bool[np.ndarray, "*runs records classes"]
    """At the threshold of highest Challenge score, or the likeliest class."""
    has_threshold: Bool[np.ndarray, "*runs classes"]
    """True where the held-out patients tell a class apart."""
    challenge_decided: Bool[np.ndarray, "*runs"]
    """True where `challenge` has a threshold, or is the likeliest class; else nothing is called."""


def exclusive_columns(
    classes: tuple[str, ...], exclusive: tuple[str, ...]
) -> Bool[np.ndarray, " classes"]:
    """Return True for the classes that exclude all others; raises InputError for another name."""
    unknown = sorted(set(exclusive) - set(classes))
    if unknown:
        raise InputError(
            f"exclusive {', '.join(unknown)}",
            value="no class of the task",
            expected=f"some of {', '.join(classes[:_NAMED])}" + ", ..." * (len(classes) > _NAMED),
            remedy="Change exclusive=, classes= or label_set=.",
        )
    return np.array([name in exclusive for name in classes])


def choose_operating_points(
    held_out: HeldOut | None, task: Task, *, challenge: ChallengeWeights | None = None
) -> OperatingPoints:
    """Choose thresholds on the held-out patients of a task; none where nobody is held out."""
    unknown = np.full(len(task.classes), np.nan)
    if held_out is None:
        return OperatingPoints(unknown, unknown, np.nan)
    labels, probabilities = task.train.labels[held_out.records], held_out.probabilities
    patients = np.array(task.train.patients)[held_out.records].tolist()
    f1, specific = (
        choose_thresholds(
            labels, probabilities, patients, classes=task.classes, criterion=criterion
        ).values
        for criterion in (f_beta, sensitivity_at(SPECIFICITY))
    )
    if challenge is None:
        return OperatingPoints(f1, specific, np.nan)
    truth = scored_decisions(labels, task.classes, challenge)

    def objective(called: np.ndarray) -> float:
        return challenge_score(truth, scored_decisions(called, task.classes, challenge), challenge)

    common = choose_common_threshold(
        labels,
        probabilities,
        patients,
        classes=task.classes,
        candidates=_COMMON,
        objective=objective,
    )
    return OperatingPoints(f1, specific, float(common.values[0]))


def decide(
    points: OperatingPoints,
    probabilities: Float[np.ndarray, "records classes"],
    *,
    multi_label: bool,
    exclusive: Bool[np.ndarray, " classes"] | None = None,
) -> Decisions:
    """Call recordings positive at each of the operating points.

    Classes that are `exclusive` are called by themselves, but for the points of a fixed
    specificity, where each class is decided as if it were the only one.
    """
    common = np.full(probabilities.shape[1], points.challenge)
    call = partial(called_positive, probabilities, multi_label=multi_label, exclusive=exclusive)
    return Decisions(
        call(points.f1),
        called_positive(probabilities, points.specific, multi_label=True),
        call(common),
        ~np.isnan(points.specific),
        np.array(not (multi_label and np.isnan(points.challenge))),
    )
