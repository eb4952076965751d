"""Confidence intervals of any measure by the bootstrap over patients.

A measure is given as a function of weights, which say how often each record is drawn; what is a
mean or a ratio of means over records is one matrix product for all resamples. Weighted measures
are `lamae.statistics.metrics.weighted_class_scores`,
`lamae.statistics.thresholds.weighted_confusion`,
`lamae.statistics.calibration.weighted_calibration_error` and
`lamae.statistics.challenge_metric.weighted_challenge_score`.

A measure at an end of its range that no resample moves, such as an F1 of 1, gets no width from a
bootstrap. Its interval is that of a proportion of which no failure was seen among as many patients
as the rarest class has, or lacks (`lamae.statistics.proportions`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from lamae.errors import InputError
from lamae.statistics.interval import (
    Interval,
    check_request,
    joint_difference,
    shortfall_interval,
    symmetric_interval,
)
from lamae.statistics.metrics import defined_classes
from lamae.statistics.patient_resampling import Statistic, resample_statistics, stratify_patients
from lamae.statistics.proportions import clopper_pearson
from lamae.statistics.ranking_of_few import effective_patients


class MeasureIntervals(NamedTuple):
    """Measures of all models on the same resamples of patients, without those left out."""

    models: dict[str, dict[str, Interval]]
    """By model and measure, in the order given."""
    differences: dict[str, dict[str, Interval]]
    """The first model minus each other model, by the name of the other and measure."""
    left_out: tuple[str, ...]
    """Measures that have no value on all records, with some model."""
    redrawn: int
    """Resamples drawn again because a class lost its positive or its negative records."""


def measure_intervals(
    statistics: Mapping[str, Statistic],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    measures: Sequence[str],
    classes: Sequence[str],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
    lowest: float = -np.inf,
    highest: float = np.inf,
    fewest: Sequence[float] | None = None,
) -> MeasureIntervals:
    """Give any measures of models on the same records intervals, and so their differences.

    Args:
        statistics: by model, a function from weights (resamples, records), which say how often
            each record is drawn, to its measures (resamples, measures); the first model is
            compared with each other one.
        labels: True where a record is positive for a class; they set the strata, and no resample
            loses a class.
        patients: the patient of each record.
        measures: names of what a statistic returns.
        classes: names of the columns of `labels`.
        generator: draws the patients.
        resamples: how often patients are drawn.
        level: probability with which an interval is meant to cover.
        lowest: lowest value that a measure can take.
        highest: highest value that a measure can take; where it is finite, measures are compared
            by the logarithm of what they lack to it.
        fewest: of each measure, the patients that a value at `lowest` or `highest` is known from;
            by default those who have, or lack, the rarest class.

    Raises InputError as `bootstrap_scores`, and for a measure that some resample leaves without
    a value: to drop those resamples would move the interval.
    """
    check_request(labels, classes, resamples=resamples, level=level)
    strata = stratify_patients(labels, patients)
    drawn = resample_statistics(
        statistics, labels, strata, classes=classes, resamples=resamples, generator=generator
    )
    left_out_measures = _undefined_measures(drawn.values, measures, resamples=resamples)
    kept = {name: i for i, name in enumerate(measures) if name not in left_out_measures}
    first, *others = drawn.values

    if np.isfinite(highest):
        interval = partial(shortfall_interval, level=level, lowest=lowest, highest=highest)
    else:
        interval = partial(symmetric_interval, level=level, lowest=lowest, highest=highest)
    between = partial(
        symmetric_interval, level=level, lowest=lowest - highest, highest=highest - lowest
    )
    if fewest is None:
        patients_of = [
            effective_patients(labels[:, column], strata.patient).fewer
            for column in np.flatnonzero(defined_classes(labels))
        ]
        fewest = [min(patients_of)] * len(measures)
    models = {
        model: {
            name: _with_width(interval(draws[:, i]), fewest[i], lowest, highest, level=level)
            for name, i in kept.items()
        }
        for model, draws in drawn.values.items()
    }
    return MeasureIntervals(
        models=models,
        differences={
            other: {
                name: joint_difference(
                    between(drawn.values[first][:, i] - drawn.values[other][:, i]),
                    models[first][name],
                    models[other][name],
                    ends=(lowest, highest),
                )
                for name, i in kept.items()
            }
            for other in others
        },
        left_out=left_out_measures,
        redrawn=drawn.redrawn,
    )


def _with_width(
    interval: Interval, patients: float, lowest: float, highest: float, *, level: float
) -> Interval:
    """Give a measure at an end of its range the width of a proportion without a failure."""
    estimate, low, high = interval
    if low < high or estimate not in (lowest, highest):
        return interval
    lost = clopper_pearson(0.0, patients, level=level).high
    if estimate == highest:
        return Interval(estimate, max(lowest, estimate - lost), estimate)
    return Interval(estimate, estimate, min(highest, estimate + lost))


def _undefined_measures(
    values: Mapping[str, np.ndarray], measures: Sequence[str], *, resamples: int
) -> tuple[str, ...]:
    wrong = {m: v.shape for m, v in values.items() if v.shape != (1 + resamples, len(measures))}
    if wrong or not values or len(set(measures)) != len(measures):
        raise InputError(
            "statistics",
            value=f"{wrong or 'no model or one name twice'} for the measures {list(measures)}",
            expected="models that each give (resamples, measures), and a name for each measure",
            remedy="Return one column for each name.",
        )
    undefined = np.any([np.isnan(draws[0]) for draws in values.values()], axis=0)
    lost = {
        name: int(np.max([np.isnan(draws[:, i]).sum() for draws in values.values()]))
        for i, name in enumerate(measures)
        if not undefined[i]
    }
    if any(lost.values()):
        raise InputError(
            f"measure {max(lost, key=lambda name: lost[name])}",
            value=f"without a value in {max(lost.values())} of {resamples} resamples",
            expected="a value in every resample",
            remedy="Leave the measure out, or report it without an interval.",
        )
    return tuple(
        name for name, is_undefined in zip(measures, undefined, strict=True) if is_undefined
    )
