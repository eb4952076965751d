"""Thresholds by every rule, and measures, against other computations of the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import expon
from sklearn.metrics import f1_score, roc_curve

from finetune.anomaly.evaluation.measures import measure, sensitivity_at_specificity
from finetune.anomaly.evaluation.normals import LabelledRecordings
from finetune.anomaly.evaluation.threshold_rules import (
    RULES,
    choose_threshold,
    peaks_over_threshold,
)
from finetune.anomaly.settings import RuleName, RuleSettings
from lamae.errors import InputError
from lamae.statistics.thresholds import Thresholds


def drawn(records: int, *, seed: int, name: str = "p") -> tuple[LabelledRecordings, np.ndarray]:
    generator = np.random.default_rng(seed)
    abnormal = np.arange(records) % 3 == 0
    score = generator.normal(size=records) + 1.5 * abnormal
    patients = [f"{name}{number // 2}" for number in range(records)]
    return LabelledRecordings(np.arange(records), abnormal, patients), score


def threshold(rule: RuleName, labelled: LabelledRecordings, score: np.ndarray) -> float:
    found = choose_threshold(rule, labelled.abnormal, score, labelled.patients, RuleSettings())
    return float(found.values[0])


def by_rule(labelled: LabelledRecordings, score: np.ndarray) -> dict[RuleName, Thresholds]:
    who = labelled.patients
    return {r: choose_threshold(r, labelled.abnormal, score, who, RuleSettings()) for r in RULES}


def test_rules_choose_what_brute_force_chooses() -> None:
    labelled, score = drawn(300, seed=0)
    false, true, cuts = roc_curve(labelled.abnormal, score, drop_intermediate=False)
    found = threshold("youden", labelled, score)
    assert (true - false)[cuts == found] == pytest.approx((true - false).max())
    best = max(f1_score(labelled.abnormal, score >= cut) for cut in score)
    found = threshold("max_f1", labelled, score)
    assert f1_score(labelled.abnormal, score >= found) == pytest.approx(best)
    normal = score[~labelled.abnormal]
    found = threshold("percentile", labelled, score)
    assert (normal > found).mean() == pytest.approx(0.05, abs=1 / len(normal))


def test_peaks_over_threshold_finds_the_tail_of_a_known_law() -> None:
    scores = expon.rvs(scale=2.0, size=20_000, random_state=0)
    for risk in (0.05, 0.01, 0.001):
        found = peaks_over_threshold(scores, start=90.0, risk=risk)
        assert found == pytest.approx(expon.isf(risk, scale=2.0), rel=0.1)
    # ten times rarer than any of a thousand records shows
    beyond = peaks_over_threshold(scores[:1000], start=90.0, risk=1e-4)
    assert beyond > scores[:1000].max()


def test_a_risk_that_the_tail_does_not_reach_is_a_percentile() -> None:
    scores = np.linspace(0, 1, 101)
    assert peaks_over_threshold(scores, start=95.0, risk=0.5) == pytest.approx(0.5)


@given(st.integers(0, 50), st.sampled_from([0.5, 0.9, 0.95]))
def test_sensitivity_at_a_specificity_is_a_point_of_the_operating_curve(
    seed: int, lowest: float
) -> None:
    labelled, score = drawn(60, seed=seed)
    score = score.round(1)  # ties
    weights = np.random.default_rng(seed).integers(0, 3, size=(4, 60))
    found = sensitivity_at_specificity(labelled.abnormal, score, weights, lowest=lowest)
    for row, value in zip(weights, found, strict=True):
        false, true, _ = roc_curve(
            labelled.abnormal, score, sample_weight=row, drop_intermediate=False
        )
        assert value == pytest.approx(true[false <= 1 - lowest + 1e-9].max())


def test_measures_hold_their_intervals_and_rules_are_those_of_validation() -> None:
    (labelled, score), (other, validation) = drawn(240, seed=1), drawn(120, seed=2, name="v")
    found = measure(
        {"mse": score, "nll": -score},
        labelled,
        by_rule(other, validation),
        chosen="mse",
        resamples=200,
        seed=0,
    )
    auroc = found.ranking["mse"]["auroc"]
    assert auroc.low <= auroc.estimate <= auroc.high
    assert found.ranking["nll"]["auroc"].estimate == pytest.approx(1 - auroc.estimate)
    for rule in RULES:
        cut = threshold(rule, other, validation)
        assert found.thresholds[rule].values[0] == cut
        called = score >= cut
        deciding = found.deciding[rule]
        assert deciding["sensitivity"].estimate == pytest.approx(called[labelled.abnormal].mean())
        assert deciding["specificity"].estimate == pytest.approx(
            (~called)[~labelled.abnormal].mean()
        )


def test_a_threshold_is_not_measured_on_the_patients_it_was_chosen_on() -> None:
    labelled, score = drawn(60, seed=1)
    with pytest.raises(InputError, match="chosen on"):
        measure(
            {"mse": score},
            labelled,
            by_rule(labelled, score),
            chosen="mse",
            resamples=10,
            seed=0,
        )


def test_a_threshold_needs_a_normal_recording() -> None:
    labelled = LabelledRecordings(np.arange(2), np.array([True, True]), ["a", "b"])
    with pytest.raises(InputError, match="no normal recording"):
        choose_threshold(
            "pot", labelled.abnormal, np.array([1.0, 2.0]), labelled.patients, RuleSettings()
        )
