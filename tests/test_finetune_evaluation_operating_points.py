"""Thresholds are chosen where they are said to be, and on nothing that is evaluated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from finetune.classifiers.scoring import called_positive
from finetune.data.hold_out import HeldOut
from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.operating_points import (
    OperatingPoints,
    choose_operating_points,
    decide,
    exclusive_columns,
)
from lamae.errors import InputError
from lamae.statistics.challenge_metric import SINUS_RHYTHM, ChallengeWeights, challenge_score

CLASSES = ("a", SINUS_RHYTHM, "c")
WEIGHTS = ChallengeWeights(
    tuple(frozenset([name]) for name in CLASSES),
    np.array([[1.0, 0.3, 0.5], [0.3, 1.0, 0.2], [0.5, 0.2, 1.0]]),
)


def cohort(seed: int, *, records: int = 120) -> tuple[Task, HeldOut]:
    """Return a task whose first half of training is held out; each recording is a patient."""
    generator = np.random.default_rng(seed)
    labels = generator.random((records, 3)) < (0.5, 0.3, 0.1)
    labels[[0, 1, 2], [0, 1, 2]] = True
    labels[3] = False
    part = LabelledRows(
        np.arange(records), labels, [f"p{i}" for i in range(records)], unlabelled=0, without_class=0
    )
    held_out = np.arange(records) < records // 2
    shown = np.clip(0.5 * labels[held_out] + 0.5 * generator.random((records // 2, 3)), 0, 1)
    nobody = part.where(np.zeros(records, dtype=bool))
    return Task(CLASSES, part, nobody), HeldOut(held_out, shown)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_no_other_threshold_has_a_higher_f1_or_sensitivity_on_the_held_out(seed: int) -> None:
    task, held_out = cohort(seed)
    points = choose_operating_points(held_out, task)
    labels = task.train.labels[held_out.records]
    for column in range(3):
        truth, shown = labels[:, column], held_out.probabilities[:, column]
        best = f1_score(truth, shown >= points.f1[column])
        assert best >= max(f1_score(truth, shown >= cut) for cut in shown) - 1e-12
        specificity = {cut: (shown[~truth] < cut).mean() for cut in [*shown, np.inf]}
        assert specificity[points.specific[column]] >= 0.9 - 1e-12
        allowed = [cut for cut, value in specificity.items() if value >= 0.9 - 1e-12]
        reached = (shown[truth] >= points.specific[column]).mean()
        assert reached == max((shown[truth] >= cut).mean() for cut in allowed)


def test_the_common_threshold_has_the_highest_challenge_score_of_all_hundredths() -> None:
    task, held_out = cohort(5)
    labels = task.train.labels[held_out.records]
    points = choose_operating_points(held_out, task, challenge=WEIGHTS)

    def score(cut: float) -> float:
        return challenge_score(labels, held_out.probabilities >= cut, WEIGHTS)

    assert score(points.challenge) == max(score(cut) for cut in np.linspace(0.01, 0.99, 99))
    called = decide(points, held_out.probabilities, multi_label=True).challenge
    assert challenge_score(labels, called, WEIGHTS) == score(points.challenge)


def test_a_class_that_the_held_out_patients_lack_is_never_called() -> None:
    task, held_out = cohort(1)
    task.train.labels[held_out.records, 2] = False
    points = choose_operating_points(held_out, task)
    found = decide(points, np.ones((4, 3)), multi_label=True)
    assert found.has_threshold.tolist() == [True, True, False]
    assert found.f1.tolist() == found.specific.tolist() == [[True, True, False]] * 4


@pytest.mark.parametrize("multi_label", [True, False])
def test_without_held_out_patients_only_the_likeliest_class_can_be_called(
    multi_label: bool,
) -> None:
    task, _ = cohort(2)
    probabilities = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    points = choose_operating_points(None, task, challenge=WEIGHTS)
    found = decide(points, probabilities, multi_label=multi_label)
    likeliest = [[False, True, False], [True, False, False]]
    nothing = np.zeros((2, 3), dtype=bool).tolist()
    expected = nothing if multi_label else likeliest
    assert found.f1.tolist() == found.challenge.tolist() == expected
    assert found.specific.tolist() == nothing
    assert not found.has_threshold.any()
    assert found.challenge_decided == (not multi_label)
    known = choose_operating_points(cohort(2)[1], task, challenge=WEIGHTS)
    assert decide(known, probabilities, multi_label=multi_label).challenge_decided


NORMAL = np.array([True, False, False])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_recording_is_called_normal_or_something_else_and_never_both(seed: int) -> None:
    shown = np.random.default_rng(seed).random((60, 3))
    cuts = np.array([0.5, 0.4, 0.6])
    plain = called_positive(shown, cuts, multi_label=True)
    called = called_positive(shown, cuts, multi_label=True, exclusive=NORMAL)
    for row in range(60):
        found = set(np.flatnonzero(plain[row]).tolist())
        if 0 in found and len(found) > 1:
            found = {0} if shown[row, 0] > max(shown[row, list(found - {0})]) else found - {0}
        assert set(np.flatnonzero(called[row])) == found


def test_thresholds_of_a_fixed_specificity_are_for_one_class_at_a_time() -> None:
    _, held_out = cohort(3)
    points = OperatingPoints(np.full(3, 0.2), np.full(3, 0.2), 0.2)
    found = decide(points, held_out.probabilities, multi_label=True, exclusive=NORMAL)
    np.testing.assert_array_equal(found.specific, held_out.probabilities >= 0.2)
    assert not (found.f1[:, 0] & found.f1[:, 1:].any(axis=1)).any()
    np.testing.assert_array_equal(found.challenge, found.f1)


def test_only_classes_of_the_task_can_be_exclusive() -> None:
    assert exclusive_columns(CLASSES, ("c",)).tolist() == [False, False, True]
    with pytest.raises(InputError, match="exclusive normal: no class of the task"):
        exclusive_columns(CLASSES, ("normal",))
