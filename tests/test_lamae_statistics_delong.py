import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from lamae.errors import InputError
from lamae.statistics.delong import (
    auroc_covariance,
    auroc_difference,
    auroc_interval,
    holm,
)
from lamae.statistics.interval import Interval
from lamae.statistics.score_intervals import bootstrap_scores

SHIFT = 1.2
TRUE_AUROC = norm.cdf(SHIFT / np.sqrt(2))


def _own_names(records: int) -> list[str]:
    return [f"p{number}" for number in range(records)]


def _covariance_as_the_equations_are_written(
    positive: np.ndarray, scores: np.ndarray, patients: list[str]
) -> np.ndarray:
    """Return Obuchowski's covariance by pairs of records and loops over patients."""
    above, below = np.flatnonzero(positive), np.flatnonzero(~positive)
    m, n = len(above), len(below)

    def kernel(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    names = sorted(set(patients))
    sums = []
    for model in scores.T:
        v = {i: sum(kernel(model[i], model[j]) for j in below) / n for i in above}
        w = {j: sum(kernel(model[i], model[j]) for i in above) / m for j in below}
        area = sum(v.values()) / m
        sums.append(
            (
                {p: sum(v[i] - area for i in above if patients[i] == p) for p in names},
                {p: sum(w[j] - area for j in below if patients[j] == p) for p in names},
            )
        )
    number = len(names)
    with_positive = len({patients[i] for i in above})
    with_negative = len({patients[j] for j in below})
    covariance = np.empty((scores.shape[1], scores.shape[1]))
    for first, (v1, w1) in enumerate(sums):
        for second, (v2, w2) in enumerate(sums):
            s10 = with_positive / ((with_positive - 1) * m) * sum(v1[p] * v2[p] for p in names)
            s01 = with_negative / ((with_negative - 1) * n) * sum(w1[p] * w2[p] for p in names)
            s11 = number / (number - 1) * sum(v1[p] * w2[p] for p in names)
            s11_turned = number / (number - 1) * sum(v2[p] * w1[p] for p in names)
            covariance[first, second] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    return covariance


@given(st.integers(0, 10_000), st.sampled_from([3, 30]))
def test_the_covariance_is_that_of_the_equations_as_they_are_written(
    seed: int, distinct: int
) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(24) < 0.4
    positive[:4] = [True, False, True, False]
    scores = generator.integers(0, distinct, (24, 2)) / distinct
    patients = ["a", "a", "b", "b", *generator.choice([*"abcdefgh"], 20).tolist()]
    found = auroc_covariance(positive, scores, patients)
    expected = _covariance_as_the_equations_are_written(positive, scores, patients)
    np.testing.assert_allclose(found.covariance, expected, atol=1e-15)
    for number in range(2):
        auroc = roc_auc_score(positive, scores[:, number])
        assert found.auroc[number] == pytest.approx(auroc)


def test_the_variance_of_a_binary_score_is_that_of_its_sensitivity_and_specificity() -> None:
    positive = np.repeat([True, False], [20, 50])
    score = np.r_[np.repeat([1.0, 0.0], [15, 5]), np.repeat([1.0, 0.0], [10, 40])]
    sensitivity, specificity = 15 / 20, 40 / 50
    found = auroc_covariance(positive, score[:, None], _own_names(70))
    assert found.auroc[0] == pytest.approx((sensitivity + specificity) / 2)
    expected = sensitivity * (1 - sensitivity) / 19 + specificity * (1 - specificity) / 49
    assert found.covariance[0, 0] == pytest.approx(expected / 4)


def test_the_mean_variance_without_signal_is_that_of_mann_and_whitney() -> None:
    generator = np.random.default_rng(0)
    positives, negatives = 15, 25
    positive = np.repeat([True, False], [positives, negatives])
    found = auroc_covariance(positive, generator.normal(size=(40, 1500)), _own_names(40))
    expected = (positives + negatives + 1) / (12 * positives * negatives)
    assert found.auroc.var() == pytest.approx(expected, rel=0.1)
    assert np.diag(found.covariance).mean() == pytest.approx(expected, rel=0.03)


def test_a_patient_whose_records_are_copies_counts_once() -> None:
    generator = np.random.default_rng(1)
    positive = np.arange(60) < 20
    score = SHIFT * positive + generator.normal(size=60)
    once = auroc_interval(positive, score, _own_names(60))
    positives, scores = np.repeat(positive, 7), np.repeat(score, 7)
    names = np.repeat(_own_names(60), 7).tolist()
    assert auroc_interval(positives, scores, names) == pytest.approx(once)
    variance = auroc_covariance(positive, score[:, None], _own_names(60)).covariance[0, 0]
    as_if_independent = auroc_covariance(positives, scores[:, None], _own_names(420))
    assert as_if_independent.covariance[0, 0] == pytest.approx(variance / 7, rel=0.06)


def test_intervals_agree_with_the_bootstrap_over_patients() -> None:
    generator = np.random.default_rng(2)
    patients = np.repeat(_own_names(300), 2)
    positive = (np.arange(600) < 240) & (generator.random(600) < 0.8)
    first = SHIFT * positive + np.repeat(generator.normal(size=300), 2)
    second = first + 0.7 * generator.normal(size=600)
    names = patients.tolist()
    drawn = bootstrap_scores(
        positive[:, None],
        {"first": first[:, None], "second": second[:, None]},
        names,
        classes=["class"],
        generator=generator,
        resamples=2000,
    )
    found = auroc_interval(positive, first, names)
    assert found == pytest.approx(drawn.models["first"].auroc_macro, abs=0.006)
    difference = auroc_difference(positive, first, second, names)
    expected = drawn.differences["second"].auroc_macro
    assert difference.difference == pytest.approx(expected, abs=0.006)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(43)
    positive, names = np.arange(150) < 60, _own_names(150)
    single, paired, rejected = [], [], []
    for _ in range(1500):
        noise = generator.normal(size=(3, 150))
        first, second = (SHIFT * positive + (noise[0] + own) / np.sqrt(2) for own in noise[1:])
        interval = auroc_interval(positive, first, names)
        found = auroc_difference(positive, first, second, names)
        single.append(interval.low <= TRUE_AUROC <= interval.high)
        paired.append(found.difference.low <= 0 <= found.difference.high)
        rejected.append(found.p_value < 0.05)
    assert np.mean(single) == pytest.approx(0.95, abs=0.015)
    assert np.mean(paired) == pytest.approx(0.95, abs=0.015)
    assert np.mean(rejected) == pytest.approx(1 - np.mean(paired), abs=1e-3)


def test_intervals_cover_by_patient_and_fail_for_records_taken_as_independent() -> None:
    generator = np.random.default_rng(4)
    patient_of = np.repeat(np.arange(100), 3)
    patients, records = [*map(str, patient_of)], _own_names(300)
    by_patient, by_record = [], []
    for _ in range(1500):
        positive = (patient_of < 50) & (generator.random(300) < 0.7)  # some patients have both
        own, shared = generator.normal(size=300), generator.normal(size=100)[patient_of]
        score = SHIFT * positive + np.sqrt(0.3) * own + np.sqrt(0.7) * shared
        right, wrong = (auroc_interval(positive, score, names) for names in (patients, records))
        by_patient.append(right.low <= TRUE_AUROC <= right.high)
        by_record.append(wrong.low <= TRUE_AUROC <= wrong.high)
    assert np.mean(by_patient) == pytest.approx(0.95, abs=0.015)
    assert np.mean(by_record) < 0.9


def test_with_five_positive_patients_only_intervals_of_differences_cover_too_seldom() -> None:
    generator = np.random.default_rng(5)
    positive, names = np.arange(150) < 5, _own_names(150)
    single, paired = [], []
    for _ in range(1500):
        first, second = SHIFT * positive + generator.normal(size=(2, 150))
        interval = auroc_interval(positive, first, names)
        difference = auroc_difference(positive, first, second, names).difference
        single.append(interval.low <= TRUE_AUROC <= interval.high)
        paired.append(difference.low <= 0 <= difference.high)
    assert np.mean(single) == pytest.approx(0.95, abs=0.015)
    assert 0.8 < np.mean(paired) < 0.935


def test_equal_rankings_do_not_differ_and_opposite_ones_surely_do() -> None:
    positive, names = np.arange(40) < 15, _own_names(40)
    score = SHIFT * positive + np.random.default_rng(6).normal(size=40)
    same = auroc_difference(positive, score, np.exp(score), names)
    assert same.difference == Interval(0.0, 0.0, 0.0) and same.p_value == 1
    opposite = auroc_difference(positive, positive.astype(float), -positive.astype(float), names)
    assert opposite.difference.estimate == opposite.difference.high == 1 and opposite.p_value == 0
    exact = proportion_confint(15, 15, method="beta")[0]
    assert opposite.difference.low == pytest.approx(2 * exact - 1)


@given(st.integers(0, 1000), st.floats(0.5, 0.999))
def test_an_interval_holds_its_estimate_and_stays_in_range(seed: int, level: float) -> None:
    generator = np.random.default_rng(seed)
    positive = np.arange(12) < generator.integers(2, 11)
    first, second = generator.integers(0, 5, (2, 12)) / 4
    names = _own_names(12)
    interval = auroc_interval(positive, first, names, level=level)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    found = auroc_difference(positive, first, second, names, level=level)
    low, high = found.difference.low, found.difference.high
    assert -1 <= low <= found.difference.estimate <= high <= 1
    if found.p_value not in (0.0, 1.0):
        assert (low <= 0 <= high) == (found.p_value >= 1 - level)


def test_a_perfect_ranking_is_as_uncertain_as_four_successes_of_four() -> None:
    positive = np.arange(10) < 4
    interval = auroc_interval(positive, positive.astype(float), _own_names(10))
    assert interval == pytest.approx((1.0, *proportion_confint(4, 4, method="beta")))
    score = positive.astype(float)
    both = auroc_difference(positive, score, 2 * score, _own_names(10)).difference
    assert both == pytest.approx((0.0, interval.low - 1, 1 - interval.low))


def test_inputs_from_which_no_variance_follows_are_refused() -> None:
    positive, score = np.array([True, True, False, False]), np.arange(4.0)
    with pytest.raises(InputError, match="1 with a positive and 2 with a negative"):
        auroc_interval(positive, score, ["a", "a", "b", "c"])
    with pytest.raises(InputError, match="2 with a positive and 0 with a negative"):
        auroc_interval(positive[:2], score[:2], ["a", "b"])
    with pytest.raises(InputError, match="3 patients"):
        auroc_interval(positive, score, ["a", "b", "c"])
    with pytest.raises(InputError, match="record 3"):
        auroc_interval(positive, np.array([0, 1, 2, np.inf]), _own_names(4))
    with pytest.raises(InputError, match=r"level: 95\.0"):
        auroc_difference(positive, score, score, _own_names(4), level=95.0)


def test_p_values_of_several_tests_are_those_of_holm_by_statsmodels() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, 0.9, 0.04]
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected.tolist())
    assert holm([0.2]) == [0.2] and holm([]) == []
