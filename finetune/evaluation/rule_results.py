"""Thresholds by stated rules, and what each costs per 1,000 people.

Rules are applied to held-out patients of the training split; evaluation labels choose nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from finetune.data.hold_out import HeldOut
from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.proportion_measures import proportions_of
from finetune.evaluation.ranking_measures import interval_as_dict
from finetune.run_settings import EvaluationSettings
from lamae.statistics.interval import Interval
from lamae.statistics.metrics import defined_classes
from lamae.statistics.proportions import predictive_values
from lamae.statistics.thresholds import (
    Criterion,
    choose_thresholds,
    f_beta,
    least_cost,
    sensitivity_at,
    specificity_at,
    youden,
)

LEVEL = 0.95
"""Probability with which an interval is meant to cover."""
PEOPLE = 1000
"""People for whom missed patients and false alarms are reckoned."""
FIXED_SPECIFICITY = 0.9
"""Specificity of the rule of that name."""


class Consequence(NamedTuple):
    """Effect of a threshold on 1,000 people, of whom a share has the class."""

    prevalence: float
    """That share."""
    missed: Interval
    """People with the class who are not called."""
    false_alarms: Interval
    """People without it who are called."""
    ppv: Interval | None
    """Share of those called who have it; None where nobody is called."""
    npv: Interval | None
    """Share of those not called who have it not; None where everybody is called."""


class RuleResult(NamedTuple):
    """The threshold of one rule for one class, and what it does on the evaluation recordings."""

    rule: str
    """Name of the rule."""
    threshold: float
    """Lowest probability that is called; infinite where the rule calls nobody."""
    sensitivity: Interval
    """Share of the positive recordings that are called."""
    specificity: Interval
    """Share of the negative recordings that are not called."""
    consequences: tuple[Consequence, ...]
    """At the prevalence of the evaluation recordings, then at those of the settings."""


def rules_of(settings: EvaluationSettings) -> dict[str, Criterion]:
    """Return the rules by name."""
    return {
        "highest F1": f_beta,
        "Youden": youden,
        f"sensitivity {settings.min_sensitivity:.0%}": specificity_at(settings.min_sensitivity),
        f"specificity {FIXED_SPECIFICITY:.0%}": sensitivity_at(FIXED_SPECIFICITY),
        f"least cost, {settings.missed_cost:g} to 1": least_cost(settings.missed_cost),
    }


def rule_results(
    probabilities: np.ndarray, held_out: HeldOut | None, task: Task, settings: EvaluationSettings
) -> dict[str, list[RuleResult]]:
    """Return, by class, what each rule does; nothing where nobody is held out.

    `probabilities` are of the evaluation recordings. A class without a threshold, or without both
    sorts of evaluation recordings, is absent.
    """
    if held_out is None:
        return {}
    labels = task.train.labels[held_out.records]
    patients = np.array(task.train.patients)[held_out.records].tolist()
    found: dict[str, list[RuleResult]] = {}
    known = defined_classes(task.evaluation.labels)
    for rule, criterion in rules_of(settings).items():
        chosen = choose_thresholds(
            labels, held_out.probabilities, patients, classes=task.classes, criterion=criterion
        ).values
        for column in np.flatnonzero(known & ~np.isnan(chosen)):
            called = probabilities[:, column] >= chosen[column]
            cut = float(chosen[column])
            own = _result(rule, cut, called, int(column), task.evaluation, settings)
            found.setdefault(task.classes[column], []).append(own)
    return found


def rules_summary(found: dict[str, list[RuleResult]]) -> dict[str, Any]:
    """Return, for summary.json, thresholds and their consequences by class and rule."""
    if not found:
        return {}
    return {
        "thresholds_by_rule": {
            name: {one.rule: _as_dict(one) for one in results} for name, results in found.items()
        }
    }


def consequence(
    positive_share: float, sensitivities: Sequence[Interval], specificities: Sequence[Interval]
) -> Consequence:
    """Return what a threshold does where a share of people has the class.

    Sensitivity and specificity are given twice, with an interval of their own and with one that
    holds for both together, from which the ends of predictive values come.
    """
    (found, joint), (spared, joint_spared) = sensitivities, specificities
    ppv, npv = predictive_values(
        (found.estimate, found.estimate),
        (spared.estimate, spared.estimate),
        prevalence=positive_share,
    )
    ppv_ends, npv_ends = predictive_values(joint[1:], joint_spared[1:], prevalence=positive_share)
    return Consequence(
        positive_share,
        _of_people(found, positive_share),
        _of_people(spared, 1 - positive_share),
        None if np.isnan(ppv[0]) else Interval(ppv[0], *ppv_ends),
        None if np.isnan(npv[0]) else Interval(npv[0], *npv_ends),
    )


def _of_people(right: Interval, share: float) -> Interval:
    """Return how many of PEOPLE are decided wrongly, of a share decided rightly so often."""
    return Interval(*(PEOPLE * share * (1 - value) for value in (right[0], right[2], right[1])))


def _result(
    rule: str,
    threshold: float,
    called: np.ndarray,
    column: int,
    part: LabelledRows,
    settings: EvaluationSettings,
) -> RuleResult:
    positive = part.labels[:, column]
    own, joint = (
        proportions_of(called[None], positive, part.patients, level=level)
        for level in (LEVEL, LEVEL**0.5)
    )
    assert own.sensitivity and own.specificity and joint.sensitivity and joint.specificity
    return RuleResult(
        rule,
        threshold,
        own.sensitivity,
        own.specificity,
        tuple(
            consequence(
                share, (own.sensitivity, joint.sensitivity), (own.specificity, joint.specificity)
            )
            for share in (float(positive.mean()), *settings.prevalences)
        ),
    )


def _as_dict(one: RuleResult) -> dict[str, Any]:
    per_1000 = [
        {"prevalence": each.prevalence}
        | {
            name: interval_as_dict(value)
            for name in Consequence._fields[1:]
            if (value := getattr(each, name)) is not None
        }
        for each in one.consequences
    ]
    return {
        "threshold": one.threshold if np.isfinite(one.threshold) else None,
        "sensitivity": interval_as_dict(one.sensitivity),
        "specificity": interval_as_dict(one.specificity),
        "per_1000": per_1000,
    }
