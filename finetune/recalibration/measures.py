"""Measures of a classifier before and after its recalibration, with intervals by patient."""

from collections.abc import Mapping

import numpy as np

from finetune.evaluation.ranking_measures import interval_as_dict
from finetune.recalibration.cohort import Cohort
from finetune.recalibration.cross_fit import Decided
from finetune.recalibration.settings import RecalibrateSettings
from lamae.statistics.calibration import weighted_brier_score, weighted_calibration_error
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.patient_resampling import Statistic
from lamae.statistics.thresholds import sensitivity, specificity, weighted_confusion

OF_PROBABILITIES = ("calibration_error", "brier")
OF_DECISIONS = ("sensitivity", "specificity")
DIFFERENCE = "after_minus_before"

Measures = dict[str, dict[str, dict[str, dict[str, float]]]]
"""By class, by measure, by `after`, `before` and `after_minus_before`: an interval."""


def measure(
    after: Decided,
    before: Decided,
    cohort: Cohort,
    *,
    classes: tuple[str, ...],
    fitted: np.ndarray,
    settings: RecalibrateSettings,
) -> Measures:
    """Measure the classes that were fitted, on the same resamples of patients."""
    labels = cohort.labels[:, fitted]
    names = tuple(np.array(classes)[fitted].tolist())
    both = {"after": after, "before": before}

    def of_probabilities(decided: Decided) -> Statistic:
        values = decided.probabilities[:, fitted]
        parts = (weighted_calibration_error, weighted_brier_score)
        return lambda weights: np.hstack([part(labels, values, weights) for part in parts])

    def of_decisions(decided: Decided) -> Statistic:
        called = decided.called[:, fitted]

        def statistic(weights: np.ndarray) -> np.ndarray:
            counts = weighted_confusion(labels, called, weights)
            return np.hstack([sensitivity(counts), specificity(counts)])

        return statistic

    found: Measures = {name: {} for name in names}
    for keys, statistic, highest in (
        (OF_PROBABILITIES, of_probabilities, np.inf),
        (OF_DECISIONS, of_decisions, 1.0),
    ):
        intervals = measure_intervals(
            {name: statistic(decided) for name, decided in both.items()},
            labels,
            cohort.patients,
            measures=[f"{key} of {name}" for key in keys for name in names],
            classes=names,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
            lowest=0.0,
            highest=highest,
        )
        by_moment: Mapping[str, Mapping] = {
            **intervals.models,
            DIFFERENCE: intervals.differences["before"],
        }
        for key in keys:
            for name in names:
                found[name][key] = {
                    moment: interval_as_dict(values[f"{key} of {name}"])
                    for moment, values in by_moment.items()
                }
    return found
