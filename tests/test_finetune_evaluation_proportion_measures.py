"""Proportions by class are those of scikit-learn, with the exact intervals of statsmodels."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score
from statsmodels.stats.proportion import proportion_confint

from finetune.evaluation.operating_points import Decisions
from finetune.evaluation.proportion_measures import (
    Measures,
    measure_proportions,
    proportions_of,
    with_proportions,
)
from lamae.statistics.interval import Interval

POSITIVE = np.random.default_rng(0).random(80) < 0.3
CALLED = np.random.default_rng(1).random((1, 80)) < np.where(POSITIVE, 0.8, 0.2)
PATIENTS = [*map(str, range(80))]


def test_each_proportion_is_of_what_it_says() -> None:
    found = proportions_of(CALLED, POSITIVE, PATIENTS)
    wanted = {
        "sensitivity": (POSITIVE, CALLED[0], recall_score),
        "specificity": (~POSITIVE, ~CALLED[0], recall_score),
        "ppv": (POSITIVE, CALLED[0], precision_score),
        "npv": (~POSITIVE, ~CALLED[0], precision_score),
    }
    for name, (truth, called, score) in wanted.items():
        interval = getattr(found, name)
        assert interval.estimate == pytest.approx(score(truth, called))
        of = truth if score is recall_score else called
        ends = proportion_confint((truth & called).sum(), of.sum(), method="beta")
        assert interval[1:] == pytest.approx(ends)


def test_a_second_run_on_the_same_patients_is_no_further_evidence() -> None:
    once = proportions_of(CALLED, POSITIVE, PATIENTS)
    assert once.sensitivity is not None and once.sensitivity.estimate < 1
    twice = proportions_of(np.vstack([CALLED, CALLED]), POSITIVE, PATIENTS)
    assert np.array(twice) == pytest.approx(np.array(once), rel=0.03)


def test_what_nothing_is_counted_in_has_no_value() -> None:
    found = proportions_of(np.zeros((1, 4), dtype=bool), np.ones(4, dtype=bool), ["a"] * 4)
    assert found.specificity is None and found.ppv is None
    assert found.sensitivity == pytest.approx((0.0, *proportion_confint(0, 1, method="beta")))


def test_all_found_of_every_class_is_no_certainty_of_the_mean_either() -> None:
    labels = np.zeros((60, 2), dtype=bool)
    labels[:5, 0], labels[5:15, 1] = True, True
    every = np.ones((1, 2), dtype=bool)
    decisions = Decisions(labels[None], labels[None], labels[None], every, every[:, 0])
    exact = measure_proportions(
        decisions,
        labels,
        [*map(str, range(60))],
        classes=("A", "B"),
        decided=every[0],
        has_threshold=every[0],
    )
    resampled: Measures = {("sensitivity", None): Interval(1.0, 1.0, 1.0)}
    with_proportions(resampled, exact)
    ends = [proportion_confint(number, number, method="beta")[0] for number in (5, 10)]
    assert [resampled["sensitivity", name].low for name in ("A", "B")] == pytest.approx(ends)
    assert resampled["sensitivity", None] == pytest.approx((1.0, np.mean(ends), 1.0))
    assert ("ppv_at_90", "A") not in resampled and ("sensitivity_at_90", "B") in resampled
