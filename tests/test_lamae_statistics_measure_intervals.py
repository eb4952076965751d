from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from lamae.errors import InputError
from lamae.statistics.interval import Interval
from lamae.statistics.measure_intervals import MeasureIntervals, measure_intervals
from lamae.statistics.metrics import macro, weighted_class_scores
from lamae.statistics.score_intervals import bootstrap_scores
from lamae.statistics.thresholds import f_beta, weighted_confusion

LABELS = np.random.default_rng(0).random((80, 3)) < 0.3
SCORES = LABELS + np.random.default_rng(1).normal(size=LABELS.shape)
PATIENTS = [f"p{number // 2}" for number in range(80)]


def _bootstrap(
    statistics: dict[str, Callable[[np.ndarray], np.ndarray]],
    measures: list[str],
    **options: Any,
) -> MeasureIntervals:
    given = {"labels": LABELS, "patients": PATIENTS, "resamples": 200, "classes": ["a", "b", "c"]}
    return measure_intervals(
        statistics,
        measures=measures,
        generator=np.random.default_rng(2),
        **{**given, **options},
    )


def _macros(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    values = weighted_class_scores(LABELS, scores, weights)
    return np.stack([macro(values.auroc), macro(values.average_precision)], axis=1)


def test_intervals_of_aurocs_are_those_of_their_own_function() -> None:
    noisier = SCORES + np.random.default_rng(3).normal(size=SCORES.shape)
    own = bootstrap_scores(
        LABELS,
        {"one": SCORES, "other": noisier},
        PATIENTS,
        classes=["a", "b", "c"],
        generator=np.random.default_rng(2),
        resamples=200,
    )
    found = _bootstrap(
        {"one": partial(_macros, SCORES), "other": partial(_macros, noisier)},
        ["auroc", "auprc"],
        lowest=0.0,
        highest=1.0,
    )
    for model, measured in own.models.items():
        expected = [measured.auroc_macro, measured.auprc_macro]
        assert list(found.models[model].values()) == [pytest.approx(i) for i in expected]
    difference = own.differences["other"]
    assert found.differences["other"]["auroc"] == pytest.approx(difference.auroc_macro)
    assert found.differences["other"]["auprc"] == pytest.approx(difference.auprc_macro)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    generator = np.random.default_rng(4)
    value = generator.normal(5, 2, 400)
    found = measure_intervals(
        {"model": lambda weights: (weights @ value / weights.sum(axis=1))[:, None]},
        generator.random((400, 1)) < 0.5,
        [*map(str, range(400))],
        measures=["mean"],
        classes=["class"],
        generator=generator,
        resamples=4000,
    ).models["model"]["mean"]
    assert found.estimate == pytest.approx(value.mean())
    expected = 1.96 * value.std() / np.sqrt(400)
    assert found.high - found.estimate == pytest.approx(expected, rel=0.06)
    assert found.estimate - found.low == pytest.approx(found.high - found.estimate)


def _f1(decisions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return f_beta(weighted_confusion(LABELS, decisions, weights))


def test_any_measure_of_decisions_gets_intervals_and_paired_differences() -> None:
    good, poor = SCORES > 0.5, np.random.default_rng(5).random(LABELS.shape) < 0.5
    found = _bootstrap(
        {"good": partial(_f1, good), "same": partial(_f1, good), "poor": partial(_f1, poor)},
        ["F1 a", "F1 b", "F1 c"],
        lowest=0.0,
        highest=1.0,
    )
    assert list(found.models) == ["good", "same", "poor"]
    assert set(found.differences["same"].values()) == {Interval(0.0, 0.0, 0.0)}
    assert all(interval.low > 0 for interval in found.differences["poor"].values())
    for measured in (*found.models.values(), *found.differences.values()):
        assert all(i.low <= i.estimate <= i.high for i in measured.values())


def test_a_measure_without_a_value_is_left_out_by_name() -> None:
    def statistic(weights: np.ndarray) -> np.ndarray:
        means = weights @ SCORES / weights.sum(axis=1, keepdims=True)
        means[:, 1] = np.nan
        return means

    found = _bootstrap({"model": statistic}, ["x", "y", "z"])
    assert found.left_out == ("y",)
    assert list(found.models["model"]) == ["x", "z"]


def test_a_measure_that_some_resample_leaves_undefined_is_refused_by_name() -> None:
    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.where(weights[:, :1] == 0, np.nan, 1.0) * np.array([[1.0]])

    with pytest.raises(InputError, match=r"measure rare: without a value in \d+ of 200"):
        _bootstrap({"model": statistic}, ["rare"])


@pytest.mark.parametrize(
    ("statistics", "measures"),
    [
        ({"model": lambda weights: weights[:, :2]}, ["one"]),
        ({"model": lambda weights: weights[:, 0]}, ["one"]),
        ({"model": lambda weights: weights[:, :2]}, ["one", "one"]),
        ({}, ["one"]),
    ],
)
def test_statistics_that_do_not_fit_their_names_are_refused(
    statistics: Any, measures: list[str]
) -> None:
    with pytest.raises(InputError, match="statistics"):
        _bootstrap(statistics, measures)
