"""Exact intervals of proportions are those of statsmodels, and cover by patient."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from lamae.errors import InputError
from lamae.statistics.proportions import (
    clopper_pearson,
    effective_number,
    predictive_values,
    proportion_interval,
)


@pytest.mark.parametrize(("successes", "number"), [(0, 1), (5, 5), (1, 7), (33, 40), (980, 1000)])
def test_of_independent_records_the_interval_is_that_of_clopper_and_pearson(
    successes: int, number: int
) -> None:
    success = np.arange(number) < successes
    found = proportion_interval(success, [*map(str, range(number))])
    ends = proportion_confint(successes, number, method="beta")
    assert found == pytest.approx((successes / number, *ends))
    exact = binomtest(successes, number).proportion_ci(method="exact")
    assert found[1:] == pytest.approx((exact.low, exact.high))


def test_all_of_five_patients_found_is_no_certainty_whatever_their_records() -> None:
    records = np.ones(50, dtype=bool)
    found = proportion_interval(records, [f"p{number // 10}" for number in range(50)])
    assert found == pytest.approx((1.0, *proportion_confint(5, 5, method="beta")))
    assert str(found) == "1.000 [0.478, 1.000]"


def test_records_of_few_patients_count_as_if_they_were_all_alike() -> None:
    patients = ["a"] * 6 + ["b"] * 3 + ["c"]
    expected = 10**2 / (6**2 + 3**2 + 1)
    assert effective_number(np.arange(10) < 6, patients) == pytest.approx(expected)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_design_effect_of_many_patients_is_that_of_a_regression_by_cluster(
    alike: float,
) -> None:
    generator = np.random.default_rng(3)
    number = np.repeat(np.arange(400), 3)
    own = generator.random(400) < 0.6
    success = np.where(generator.random(1200) < alike, own[number], generator.random(1200) < 0.6)
    fit = OLS(success.astype(float), np.ones(1200)).fit(
        cov_type="cluster", cov_kwds={"groups": number, "df_correction": False}
    )
    share = success.mean()
    expected = share * (1 - share) / (fit.bse[0] ** 2 * 400 / 399)
    found = effective_number(success, [*map(str, number)])
    assert found == pytest.approx(min(expected, 1200), rel=0.02)  # quantiles of t: 1 % for 400


@pytest.mark.parametrize("patients", [1, 3, 8, 20, 40])
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_intervals_by_patient_cover_where_records_of_a_patient_are_alike(
    patients: int, share: float
) -> None:
    generator = np.random.default_rng(4)
    number = np.repeat(np.arange(patients), np.arange(patients) % 4 + 1)
    names = [*map(str, number)]
    covered = []
    for _ in range(300):
        own = generator.beta(share / 0.5 * 0.5, (1 - share) / 0.5 * 0.5, patients)  # half alike
        found = proportion_interval(generator.random(len(number)) < own[number], names)
        covered.append(found.low <= share <= found.high)
    assert np.mean(covered) >= 0.93


def test_predictive_values_are_those_of_a_population_that_is_counted() -> None:
    sick, well = 300, 9700  # a prevalence of 3 %
    (ppv, _), (npv, _) = predictive_values((0.8, 1.0), (0.9, 1.0), prevalence=0.03)
    assert ppv == pytest.approx(0.8 * sick / (0.8 * sick + 0.1 * well))
    assert npv == pytest.approx(0.9 * well / (0.9 * well + 0.2 * sick))
    assert predictive_values((0.0, 1.0), (0.0, 1.0), prevalence=0.03)[0][1] == 1.0


def test_predictive_values_at_a_prevalence_are_covered() -> None:
    generator = np.random.default_rng(5)
    truth = predictive_values((0.85, 1.0), (0.9, 1.0), prevalence=0.1)
    covered = []
    for _ in range(500):
        ends = [
            clopper_pearson(float(generator.binomial(n, p)), float(n), level=0.95**0.5)[1:]
            for n, p in ((20, 0.85), (200, 0.9))
        ]
        found = predictive_values(ends[0], ends[1], prevalence=0.1)
        covered.append([low <= t[0] <= high for (low, high), t in zip(found, truth, strict=True)])
    assert np.mean(covered, axis=0).min() >= 0.95


def test_what_is_no_proportion_is_refused() -> None:
    with pytest.raises(InputError, match=r"3\.0 of 2"):
        clopper_pearson(3.0, 2.0)
    with pytest.raises(InputError, match=r"level of 1\.0"):
        clopper_pearson(1.0, 2.0, level=1.0)
    with pytest.raises(InputError, match="2 for 3 records"):
        proportion_interval(np.ones(3, dtype=bool), ["a", "b"])
