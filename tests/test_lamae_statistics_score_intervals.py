from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from lamae.errors import InputError
from lamae.statistics.interval import Interval, shortfall_interval
from lamae.statistics.patient_resampling import stratify_patients
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores

SHIFT = 1.2
TRUE_AUROC = norm.cdf(SHIFT / np.sqrt(2))


def _simulate(
    generator: np.random.Generator, *, patients: int, records: int, noise: float
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw records whose scores have unit variance, all but `noise`**2 of it by patient."""
    positive = np.repeat(generator.random(patients) < 0.4, records)
    by_patient = np.repeat(generator.normal(size=patients), records)
    by_record = generator.normal(size=patients * records)
    score = SHIFT * positive + np.sqrt(1 - noise**2) * by_patient + noise * by_record
    names = [f"p{number}" for number in np.repeat(np.arange(patients), records)]
    return positive[:, None], score[:, None], names


def _bootstrap(
    labels: np.ndarray, scores: np.ndarray, patients: list[str], *, resamples: int = 100
) -> BootstrapScores:
    classes = [f"class{number}" for number in range(labels.shape[1])]
    return bootstrap_scores(
        labels,
        {"model": scores},
        patients,
        classes=classes,
        generator=np.random.default_rng(0),
        resamples=resamples,
    )


def _width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.slow
def test_intervals_cover_the_true_auroc_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(1500):
        drawn = _simulate(generator, patients=100, records=2, noise=0.5)
        interval = _bootstrap(*drawn).models["model"].auroc_macro
        covered.append(interval.low <= TRUE_AUROC <= interval.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_intervals_of_average_precision_cover_it_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    positive, patients = np.arange(150) < 60, [*map(str, range(150))]  # over 40: not widened
    threshold = np.linspace(-8, 12, 20_001)
    recall, false_alarms = norm.sf(threshold - SHIFT), norm.sf(threshold)
    precision = 0.4 * recall / (0.4 * recall + 0.6 * false_alarms)
    truth = np.trapezoid(precision[::-1], recall[::-1])
    covered = []
    for _ in range(1500):
        score = SHIFT * positive + generator.normal(size=150)
        result = _bootstrap(positive[:, None], score[:, None], patients).models["model"]
        covered.append(result.auprc_macro.low <= truth <= result.auprc_macro.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_an_interval_reaches_as_far_in_what_is_lacking_as_the_resamples() -> None:
    for draws, expected in (
        ([0.9, 0.8, 0.94], (0.8, 0.95)),  # lacks twice as much or half as much
        ([0.9, 0.96, 1.0], (0.7, 0.98)),  # perfect counts as half of the nearest, 0.02; 0.5 is cut
        ([0.3, -3.0, 0.3], (0.0, 0.8775)),
        ([1.0, 1.0, 1.0], (1.0, 1.0)),
    ):
        interval = shortfall_interval(np.array(draws), level=1.0)
        assert interval == pytest.approx((draws[0], *expected))


@pytest.mark.parametrize("positives", [1, 4, 20])
def test_few_positive_patients_have_an_interval_that_covers(positives: int) -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(120):
        positive = np.arange(60) < positives
        score = SHIFT * positive + generator.normal(size=60)
        drawn = (positive[:, None], score[:, None], [*map(str, range(60))])
        found = _bootstrap(*drawn).models["model"]
        assert found.auroc_macro == found.auroc["class0"]
        covered.append(found.auroc_macro.low <= TRUE_AUROC <= found.auroc_macro.high)
    assert np.mean(covered) > 0.93


def test_a_perfect_ranking_of_one_class_or_of_all_is_no_certainty() -> None:
    labels = np.zeros((60, 2), dtype=bool)
    labels[:5, 0], labels[5:17, 1] = True, True
    found = _bootstrap(labels, labels.astype(float), [*map(str, range(60))]).models["model"]
    exact = [proportion_confint(number, number, method="beta")[0] for number in (5, 12)]
    assert [found.auroc[name].low for name in ("class0", "class1")] == pytest.approx(exact)
    assert found.auroc_macro == pytest.approx((1.0, np.mean(exact), 1.0))
    assert found.auprc_macro.low < found.auprc_macro.estimate == 1.0
    assert all(interval.low < exact[0] + 1e-9 for interval in [found.auprc["class0"]])


def test_drawing_records_of_one_patient_as_if_independent_covers_too_seldom() -> None:
    generator = np.random.default_rng(2)
    by_patient, by_record, narrower = [], [], []
    for _ in range(60):
        labels, scores, patients = _simulate(generator, patients=50, records=10, noise=0.05)
        right = _bootstrap(labels, scores, patients).models["model"].auroc_macro
        records = [f"r{number}" for number in range(len(labels))]
        wrong = _bootstrap(labels, scores, records).models["model"].auroc_macro
        by_patient.append(right.low <= TRUE_AUROC <= right.high)
        by_record.append(wrong.low <= TRUE_AUROC <= wrong.high)
        widths = [np.log((1 - i.low) / (1 - i.high)) for i in (right, wrong)]
        narrower.append(widths[0] / widths[1])
    assert np.median(narrower) == pytest.approx(np.sqrt(10), rel=0.2)
    assert np.mean(by_patient) > 0.85
    assert np.mean(by_record) < 0.6


def test_estimates_are_those_of_scikit_learn_on_all_records() -> None:
    generator = np.random.default_rng(3)
    labels, scores = generator.random((80, 3)) < 0.3, generator.normal(size=(80, 3))
    result = _bootstrap(labels, scores, [str(i // 2) for i in range(80)]).models["model"]
    assert result.auroc_macro.estimate == pytest.approx(roc_auc_score(labels, scores))
    assert result.auprc_macro.estimate == pytest.approx(average_precision_score(labels, scores))
    expected = average_precision_score(labels[:, 2], scores[:, 2])
    assert result.auprc["class2"].estimate == pytest.approx(expected)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(4, 30), st.integers(1, 6))
def test_an_interval_holds_its_estimate_and_stays_in_range(
    seed: int, records: int, classes: int
) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.random((records, classes)) < 0.2
    labels[0], labels[1] = False, True
    patients = [str(i) for i in range(records)]
    models = {m: generator.integers(0, 5, (records, classes)) / 4 for m in ("a", "b")}
    names = [f"class{number}" for number in range(classes)]
    result = bootstrap_scores(
        labels, models, patients, classes=names, generator=generator, resamples=20
    )
    for lowest, group in ((0, result.models), (-1, result.differences)):
        for given_scores in group.values():
            by_class = [*given_scores.auroc.values(), *given_scores.auprc.values()]
            for interval in (given_scores.auroc_macro, given_scores.auprc_macro, *by_class):
                assert lowest <= interval.low <= interval.estimate <= interval.high <= 1


def test_a_paired_difference_is_surer_than_the_two_scores() -> None:
    generator = np.random.default_rng(4)
    labels, scores, patients = _simulate(generator, patients=150, records=1, noise=1.0)
    models = {
        "good": scores,
        "same order": np.exp(scores),
        "noisier": scores + 0.3 * generator.normal(size=scores.shape),
    }
    result = bootstrap_scores(
        labels, models, patients, classes=["MI"], generator=generator, resamples=200
    )
    assert result.differences["same order"].auroc["MI"] == Interval(0.0, 0.0, 0.0)
    difference = result.differences["noisier"].auroc_macro
    good, noisier = (result.models[model].auroc_macro for model in ("good", "noisier"))
    assert difference.estimate == pytest.approx(good.estimate - noisier.estimate)
    assert _width(difference) < 0.6 * _width(good)
    assert list(result.differences) == ["same order", "noisier"]


def test_the_same_generator_gives_the_same_intervals() -> None:
    drawn = _simulate(np.random.default_rng(5), patients=40, records=2, noise=0.5)
    assert _bootstrap(*drawn) == _bootstrap(*drawn)


def test_classes_without_positives_or_negatives_are_named_and_change_no_mean() -> None:
    generator = np.random.default_rng(6)
    labels, scores = generator.random((60, 4)) < 0.4, generator.normal(size=(60, 4))
    labels[:, 1], labels[:, 3] = False, True
    patients = [str(i // 3) for i in range(60)]
    result = _bootstrap(labels, scores, patients)
    without = _bootstrap(labels[:, [0, 2]], scores[:, [0, 2]], patients)
    assert result.left_out == ("class1", "class3")
    assert list(result.models["model"].auroc) == ["class0", "class2"]
    estimate = without.models["model"].auroc_macro.estimate
    assert result.models["model"].auroc_macro.estimate == estimate
    assert result.positive_records["class1"] == 0 and result.positive_patients["class3"] == 20


def test_a_patient_belongs_to_its_rarest_positive_class() -> None:
    labels = np.array(
        [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=bool
    )
    strata = stratify_patients(labels, ["a", "b", "c", "d", "e", "a"])
    by_patient = dict(zip("abcde", strata.stratum.tolist(), strict=True))
    assert by_patient == {"a": 0, "b": 1, "c": 3, "d": 0, "e": 2}
    assert strata.patient.tolist() == [0, 1, 2, 3, 4, 0]


def test_a_class_that_lies_in_no_stratum_of_its_own_is_still_in_every_resample() -> None:
    labels = np.zeros((40, 4), dtype=bool)
    labels[[0, 1, 2], 0] = True
    for column, rows in ((1, [0, 3]), (2, [1, 4]), (3, [2, 5])):
        labels[rows, column] = True
    result = _bootstrap(
        labels, np.random.default_rng(7).normal(size=(40, 4)), [*map(str, range(40))]
    )
    assert result.redrawn > 0
    assert np.isfinite(result.models["model"].auroc["class0"]).all()


def test_a_class_that_resamples_cannot_keep_is_refused_by_name() -> None:
    records, classes = 12, 12  # each record is the only negative of one class
    labels = ~np.eye(records, classes, dtype=bool)
    scores = np.random.default_rng(8).normal(size=labels.shape)
    with pytest.raises(InputError, match=r"class class\d+.*Leave the class out"):
        _bootstrap(labels, scores, [str(i) for i in range(records)], resamples=2)


def test_inputs_that_do_not_fit_together_are_refused() -> None:
    labels, scores, patients = _simulate(
        np.random.default_rng(9), patients=10, records=1, noise=1.0
    )
    good: dict[str, Any] = {
        "scores": {"a": scores},
        "patients": patients,
        "classes": ["MI"],
        "resamples": 10,
    }
    for key, wrong, complaint in (
        ("scores", {"a": scores, "b": scores[1:]}, "scores: {'b'"),
        ("scores", {}, "no model"),
        ("scores", {"a": np.full_like(scores, np.nan)}, "finite"),
        ("patients", patients[1:], "patients: 9"),
        ("classes", ["MI", "MI"], "classes"),
        ("resamples", 0, "resamples=0"),
    ):
        arguments = {**good, key: wrong}
        with pytest.raises(InputError, match=complaint):
            bootstrap_scores(labels, generator=np.random.default_rng(0), **arguments)
    with pytest.raises(InputError, match="no class with both"):
        _bootstrap(np.ones_like(labels), scores, patients)


def test_a_model_of_several_runs_is_scored_by_the_mean_over_them() -> None:
    generator = np.random.default_rng(3)
    labels, first, patients = _simulate(generator, patients=40, records=2, noise=0.5)
    second = first + generator.normal(size=first.shape)
    aurocs = [roc_auc_score(labels[:, 0], scores[:, 0]) for scores in (first, second)]
    measured = bootstrap_scores(
        labels,
        {
            "both": np.stack([first, second]),
            "first": first,
            "first twice": np.stack([first, first]),
        },
        patients,
        classes=["class"],
        generator=np.random.default_rng(0),
        resamples=50,
    )
    assert measured.models["both"].auroc_macro.estimate == pytest.approx(np.mean(aurocs))
    assert measured.models["first twice"] == measured.models["first"]
    difference = measured.differences["first"].auroc_macro
    assert difference.estimate == pytest.approx((aurocs[1] - aurocs[0]) / 2)
    assert difference.low < difference.estimate < difference.high


def test_draws_that_are_all_but_perfect_do_not_push_the_interval_down_to_nothing() -> None:
    draws = np.array([0.99, *np.linspace(0.97, 1.0, 99), *[1.0 - 1e-9] * 20])
    found = shortfall_interval(draws, level=0.95)
    assert 0.94 < found.low < 0.975 and found.low < found.estimate < found.high <= 1.0
