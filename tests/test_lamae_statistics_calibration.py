import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from lamae.errors import InputError
from lamae.statistics.calibration import (
    bins_for,
    calibration_error,
    calibration_line,
    reliability,
    weighted_brier_score,
    weighted_calibration_error,
)


def _draw(seed: int, *, records: int = 203, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels that are positive as often as their probabilities say."""
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(0.5, 2.0, (records, classes))
    return generator.random((records, classes)) < probabilities, probabilities


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return weighted_brier_score(labels, probabilities, np.ones((1, len(labels))))[0]


def test_the_brier_score_equals_that_of_scikit_learn() -> None:
    labels, probabilities = _draw(0)
    expected = [brier_score_loss(labels[:, i], probabilities[:, i]) for i in range(3)]
    np.testing.assert_allclose(brier_score(labels, probabilities), expected)


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_reliability_points_equal_those_of_scikit_learn_with_ties(digits: int) -> None:
    labels, probabilities = _draw(1)
    positive, probability = labels[:, 0], probabilities[:, 0].round(digits)
    for bins in (1, 4, 10):
        points = reliability(positive, probability, bins=bins)
        share, mean = calibration_curve(positive, probability, n_bins=bins, strategy="quantile")
        np.testing.assert_allclose(points.positive_share, share)
        np.testing.assert_allclose(points.probability, mean)
        assert points.records.sum() == len(positive)


def test_bins_hold_equal_numbers_of_records() -> None:
    labels, probabilities = _draw(2, records=200)
    points = reliability(labels[:, 0], probabilities[:, 0], bins=10)
    assert points.records.tolist() == [20] * 10


def test_the_error_is_the_mean_distance_of_the_points_from_the_diagonal() -> None:
    labels, probabilities = _draw(3)
    for number, error in enumerate(calibration_error(labels, probabilities, bins=7)):
        points = reliability(labels[:, number], probabilities[:, number], bins=7)
        distance = np.abs(points.probability - points.positive_share)
        assert error == pytest.approx(np.average(distance, weights=points.records))


def test_the_errors_of_hand_computed_probabilities() -> None:
    positive = np.array([True, True, True, False, False, False, False, True])[:, None]
    probability = np.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2])[:, None]
    assert calibration_error(positive, probability, bins=2)[0] == pytest.approx(0.1)
    expected = (3 * 0.01 + 0.81 + 3 * 0.04 + 0.64) / 8
    assert brier_score(positive, probability)[0] == pytest.approx(expected)


def test_calibrated_probabilities_leave_the_error_that_chance_makes() -> None:
    labels, probabilities = _draw(4, records=20_000, classes=2)
    calibrated = calibration_error(labels, probabilities)
    by_chance = np.sqrt(2 / np.pi * probabilities * (1 - probabilities) / 2000).mean()
    assert (calibrated < 2 * by_chance).all()
    overconfident = calibration_error(labels, np.sqrt(probabilities))
    excess = (np.sqrt(probabilities) - probabilities).mean(axis=0)
    np.testing.assert_allclose(overconfident, excess, atol=2 * by_chance)


@given(st.integers(0, 1000), st.integers(1, 8))
def test_a_weight_of_one_for_all_and_copies_of_all_change_nothing(seed: int, bins: int) -> None:
    labels, probabilities = _draw(seed, records=30)
    labels[0], labels[1] = True, False
    threefold = np.full((1, 30), 3)
    for weighted, once in (
        (weighted_brier_score(labels, probabilities, threefold), brier_score),
        (weighted_calibration_error(labels, probabilities, threefold), calibration_error),
    ):
        np.testing.assert_allclose(weighted[0], once(labels, probabilities))
    points = reliability(labels[:, 0], probabilities[:, 0], bins=bins)
    assert len(points.records) <= bins and (points.records > 0).all()


def test_a_weighted_brier_score_is_that_of_the_copied_records() -> None:
    labels, probabilities = _draw(5, records=30)
    weights = np.random.default_rng(0).integers(0, 3, (4, 30))
    for scores, weight in zip(
        weighted_brier_score(labels, probabilities, weights), weights, strict=True
    ):
        copies = np.repeat(np.arange(30), weight)
        np.testing.assert_allclose(scores, brier_score(labels[copies], probabilities[copies]))


def test_a_weighted_error_keeps_the_bins_of_all_records() -> None:
    positive = np.array([True, False, True, False])[:, None]
    probability = np.array([0.1, 0.2, 0.7, 0.8])[:, None]
    weights = np.array([[1, 3, 0, 2]])
    expected = (abs(-0.9 + 3 * 0.2) + abs(2 * 0.8)) / 6
    error = weighted_calibration_error(positive, probability, weights, bins=2)
    assert error[0, 0] == pytest.approx(expected)


def test_a_class_without_positives_or_negatives_has_no_value() -> None:
    labels = np.array([[False, True, True], [False, True, False]])
    probabilities = np.full((2, 3), 0.5)
    for measure in (brier_score, calibration_error):
        assert np.isnan(measure(labels, probabilities)).tolist() == [True, True, False]


@pytest.mark.parametrize("wrong", [-0.1, 1.01, np.nan])
def test_what_is_no_probability_is_refused_with_its_record(wrong: float) -> None:
    labels = np.array([[True], [False], [True]])
    probabilities = np.array([[0.5], [wrong], [0.5]])
    for measure in (brier_score, calibration_error):
        with pytest.raises(InputError, match=r"record 1.*sigmoid"):
            measure(labels, probabilities)


def test_other_shapes_and_no_bin_are_refused() -> None:
    labels, probabilities = _draw(6)
    with pytest.raises(InputError, match="bins: 0"):
        calibration_error(labels, probabilities, bins=0)
    with pytest.raises(InputError, match="of one shape"):
        brier_score(labels[:0], probabilities[:0])


@pytest.mark.parametrize("records", [1, 3])
def test_the_calibration_line_is_that_of_a_regression_by_statsmodels(records: int) -> None:
    generator = np.random.default_rng(records)
    patient = np.repeat(np.arange(150), records)
    truth = np.clip(generator.beta(1, 3, 150)[patient], 0.01, 0.99)
    positive = generator.random(len(truth)) < truth
    shown = expit(1.6 * logit(truth) + 0.3)  # too extreme, and too high
    found = calibration_line(positive, shown, patient)
    assert found is not None
    cluster = {"groups": patient, "use_correction": False}
    line = logit(shown)
    fits = {
        "intercept": GLM(positive.astype(float), np.ones((len(line), 1)), Binomial(), offset=line),
        "slope": GLM(
            positive.astype(float), np.column_stack([np.ones(len(line)), line]), Binomial()
        ),
    }
    for name, model in fits.items():
        fit = model.fit(cov_type="cluster", cov_kwds=cluster)
        interval = getattr(found, name)
        assert interval.estimate == pytest.approx(fit.params[-1], abs=1e-6)
        error = fit.bse[-1] * np.sqrt(150 / 149)
        assert interval.high - interval.estimate == pytest.approx(1.959964 * error, rel=1e-4)
    assert found.slope.high < 1


def test_without_errors_or_without_two_kinds_there_is_no_calibration_line() -> None:
    positive, who = np.arange(20) < 8, np.arange(20)
    assert calibration_line(positive, np.where(positive, 0.9, 0.1), who) is None
    assert calibration_line(np.ones(20, dtype=bool), np.full(20, 0.5), who) is None


def test_a_class_has_as_many_bins_as_it_bears() -> None:
    numbers = {3: 2, 29: 2, 30: 3, 95: 9, 400: 10}
    assert {n: bins_for(np.arange(1000) < n) for n in numbers} == numbers
    labels, shown = np.zeros((40, 2), dtype=bool), np.random.default_rng(0).random((40, 2))
    labels[:15] = True
    once = np.ones((1, 40))
    both = weighted_calibration_error(labels, shown, once, bins=[2, 5])[0]
    for column, bins in enumerate((2, 5)):
        own = weighted_calibration_error(labels, shown, once, bins=bins)[0, column]
        assert both[column] == own
