"""Thresholds by rule are chosen on held-out patients, and cost what can be counted."""

import numpy as np
import pytest

from finetune.data.hold_out import HeldOut
from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.rule_results import RuleResult, rule_results, rules_summary
from finetune.run_settings import EvaluationSettings
from lamae.statistics.interval import Interval

SETTINGS = EvaluationSettings(prevalences=(0.02,), missed_cost=5.0)


def part(first: int, generator: np.random.Generator) -> LabelledRows:
    labels = generator.random((200, 2)) < (0.4, 0.2)
    patients = [f"p{first + number}" for number in range(200)]
    return LabelledRows(np.arange(200), labels, patients, unlabelled=0, without_class=0)


def shown(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return 0.4 * labels + 0.6 * generator.random(labels.shape)


@pytest.fixture(scope="module")
def made() -> tuple[Task, HeldOut, np.ndarray]:
    generator = np.random.default_rng(0)
    task = Task(("A", "B"), part(0, generator), part(1000, generator))
    held_out = np.arange(200) < 120
    of_held_out = shown(task.train.labels[held_out], generator)
    return task, HeldOut(held_out, of_held_out), shown(task.evaluation.labels, generator)


@pytest.fixture(scope="module")
def found(made: tuple[Task, HeldOut, np.ndarray]) -> dict[str, list[RuleResult]]:
    task, held_out, probabilities = made
    return rule_results(probabilities, held_out, task, SETTINGS)


def test_no_other_threshold_serves_a_rule_better_on_the_held_out(
    made: tuple[Task, HeldOut, np.ndarray], found: dict[str, list[RuleResult]]
) -> None:
    task, held_out, _ = made
    truth, scores = task.train.labels[held_out.records][:, 0], held_out.probabilities[:, 0]
    cuts = {one.rule: one.threshold for one in found["A"]}
    tried = [*scores, np.inf]
    found_share = {cut: (scores[truth] >= cut).mean() for cut in tried}
    spared = {cut: (scores[~truth] < cut).mean() for cut in tried}
    best = max(found_share[cut] + spared[cut] for cut in tried)
    assert found_share[cuts["Youden"]] + spared[cuts["Youden"]] == pytest.approx(best)
    enough = [cut for cut in tried if found_share[cut] >= 0.9]
    assert spared[cuts["sensitivity 90%"]] == max(spared[cut] for cut in enough)
    enough = [cut for cut in tried if spared[cut] >= 0.9 - 1e-9]
    assert found_share[cuts["specificity 90%"]] == max(found_share[cut] for cut in enough)

    def cost(cut: float) -> float:
        called = scores >= cut
        return float(5 * (truth & ~called).sum() + (called & ~truth).sum())

    assert cost(cuts["least cost, 5 to 1"]) == min(cost(cut) for cut in tried)


def test_evaluation_labels_choose_no_threshold(
    made: tuple[Task, HeldOut, np.ndarray], found: dict[str, list[RuleResult]]
) -> None:
    task, held_out, probabilities = made
    turned = task.evaluation._replace(labels=task.evaluation.labels[::-1].copy())
    other = rule_results(probabilities, held_out, task._replace(evaluation=turned), SETTINGS)
    for name, results in found.items():
        assert [one.threshold for one in other[name]] == [one.threshold for one in results]
    assert rule_results(probabilities, None, task, SETTINGS) == {}


def test_people_missed_and_alarmed_are_those_of_a_thousand_who_are_counted(
    made: tuple[Task, HeldOut, np.ndarray], found: dict[str, list[RuleResult]]
) -> None:
    task, _, probabilities = made
    truth = task.evaluation.labels[:, 1]
    for one in found["B"]:
        called = probabilities[:, 1] >= one.threshold
        here, rare = one.consequences
        assert here.missed.estimate == pytest.approx(1000 * (truth & ~called).mean())
        assert here.false_alarms.estimate == pytest.approx(1000 * (called & ~truth).mean())
        missed, alarmed = (~called)[truth].mean(), called[~truth].mean()
        assert rare.missed.estimate == pytest.approx(20 * missed)
        assert rare.false_alarms.estimate == pytest.approx(980 * alarmed)
        right = 20 * (1 - missed)
        assert rare.ppv is not None
        assert rare.ppv.estimate == pytest.approx(right / (right + 980 * alarmed))
        for interval in (here.missed, here.false_alarms, rare.ppv, rare.npv):
            assert isinstance(interval, Interval)
            assert interval.low <= interval.estimate <= interval.high


def test_the_summary_holds_each_rule_of_each_class(found: dict[str, list[RuleResult]]) -> None:
    written = rules_summary(found)["thresholds_by_rule"]
    assert set(written) == {"A", "B"} and len(written["A"]) == 5
    assert len(written["A"]["Youden"]["per_1000"]) == 2
    assert rules_summary({}) == {}
