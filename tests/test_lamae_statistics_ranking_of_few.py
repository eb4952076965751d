"""Intervals of few patients and of perfect rankings: laws, published values, worst cases."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from lamae.statistics.interval import Interval
from lamae.statistics.ranking_of_few import (
    SOME,
    EffectivePatients,
    effective_patients,
    newcombe,
    perfect_average_precision,
    widened_auroc,
    widened_average_precision,
)
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores

PERFECT = Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize(("having", "lacking"), [(1, 30), (5, 5), (12, 7), (40, 3000)])
def test_no_distribution_ranks_perfectly_more_often_than_the_end_of_the_interval_allows(
    having: int, lacking: int
) -> None:
    end = widened_auroc(PERFECT, EffectivePatients(float(having), float(lacking)), level=0.95).low
    generator = np.random.default_rng(0)

    def often(numbers: np.ndarray) -> float:
        """Return how often scores of classes with these odds, top first, are ranked perfectly."""
        above, below = softmax(numbers.reshape(2, -1), axis=1)
        lower = np.cumsum(below[::-1])[::-1] - below
        area = (above * lower).sum() + (above * below).sum() / 2
        # all positives in places above the highest negative, that is in place 0 .. i
        at_most = np.cumsum(below[::-1])[::-1] ** lacking
        highest = at_most - np.append(at_most[1:], 0)
        perfect = (highest * (np.cumsum(above) - above) ** having).sum()
        return float(perfect - 1e3 * max(0.0, area - end) ** 2 * (area > end))

    best = max(
        -minimize(lambda x: -often(x), generator.normal(0, 2, 6), method="Nelder-Mead").fun
        for _ in range(6)
    )
    assert best <= 0.025 * 1.02


def test_ends_of_newcombe_solve_his_equation() -> None:
    patients = EffectivePatients(20.0, 80.0)
    for end in newcombe(0.9, patients, level=0.95):
        first, second = end / (2 - end), 2 * end**2 / (1 + end)  # Hanley and McNeil 1982
        spread = 20 / 2 + 80 / 2 - 1
        variance = (end * (1 - end) + spread * (first - end**2) + spread * (second - end**2)) / (
            20 * 80
        )
        assert abs(0.9 - end) == pytest.approx(norm.ppf(0.975) * np.sqrt(variance))


def test_an_interval_is_never_narrower_than_that_of_the_resamples() -> None:
    generator = np.random.default_rng(1)
    for _ in range(300):
        low, estimate, high = sorted(generator.random(3))
        patients = EffectivePatients(*(float(n) for n in generator.integers(1, 60, 2)))
        own = Interval(estimate, low, high)
        for widen in (widened_auroc, widened_average_precision):
            found = widen(own, patients, level=0.9)
            assert found.low <= low and high <= found.high and found.estimate == estimate
            number = patients.fewer if widen is widened_auroc else patients.having
            assert number <= SOME or found == own


def test_one_patient_says_next_to_nothing() -> None:
    low, high = widened_auroc(
        Interval(0.97, 0.95, 0.99), EffectivePatients(1.0, 500.0), level=0.95
    )[1:]
    assert low < 0.05 and high > 0.99


def test_a_perfect_average_precision_covers_positives_last_and_negatives_first() -> None:
    patients = EffectivePatients(8.0, 50.0)
    end = perfect_average_precision(patients, level=0.95)
    assert end <= proportion_confint(8, 8, method="beta")[0]
    ahead = 50 * proportion_confint(0, 50, method="beta")[1]
    assert end == pytest.approx(np.mean([k / (k + ahead) for k in range(1, 9)]))
    many = perfect_average_precision(EffectivePatients(8.0, 1e6), level=0.95)
    assert many == pytest.approx(end, abs=0.02)  # three false alarms, however many negatives


def test_records_of_one_patient_are_one_patient() -> None:
    positive = np.array([True] * 4 + [False] * 3 + [True])
    patient = np.array([0, 0, 0, 0, 1, 2, 3, 3])
    having, lacking = effective_patients(positive, patient)
    assert having == pytest.approx(25 / 17) and lacking == pytest.approx(3)
    assert effective_patients(np.ones(3, dtype=bool), np.arange(3)) == (3, 0)


def test_classes_of_few_patients_are_out_of_a_mean_of_their_own_and_in_that_of_all() -> None:
    generator = np.random.default_rng(8)
    labels = np.zeros((90, 3), dtype=bool)
    labels[:3, 0], labels[3:33, 1], labels[30:60, 2] = True, True, True
    scores = {name: labels + generator.normal(size=labels.shape) for name in ("one", "other")}

    def scored(min_patients: int) -> BootstrapScores:
        return bootstrap_scores(
            labels,
            scores,
            [*map(str, range(90))],
            classes=["rare", "b", "c"],
            generator=np.random.default_rng(0),
            resamples=50,
            min_patients=min_patients,
        )

    found, everything = scored(10), scored(1)
    own = found.models["one"]
    assert found.few == ("rare",) and everything.few == ()
    assert own.auroc_frequent is not None and own.auprc_frequent is not None
    expected = [roc_auc_score(labels[:, i], scores["one"][:, i]) for i in range(3)]
    assert own.auroc_frequent.estimate == pytest.approx(np.mean(expected[1:]))
    assert own.auroc_macro.estimate == pytest.approx(np.mean(expected))
    assert own._replace(auroc_frequent=None, auprc_frequent=None) == everything.models["one"]
    between = found.differences["other"].auroc_frequent
    theirs = found.models["other"].auroc_frequent
    assert between is not None and theirs is not None
    assert between.estimate == pytest.approx(own.auroc_frequent.estimate - theirs.estimate)
    assert scored(80).models["one"].auroc_frequent is None  # all are of few: nothing is left
