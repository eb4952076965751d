"""Confidence intervals of AUROC and average precision by a bootstrap over patients.

Patients are drawn with replacement and bring all their records, because records of one patient
are no independent evidence. They are drawn within strata: the stratum of a patient is the rarest
class that any of its records is positive for. A resample in which a class still lost all its
positive or all its negative records is drawn again, so every mean over classes is over the same
classes. Every model is scored on the same resamples, which makes differences paired.

The interval is the symmetric bootstrap interval (Hall, Biometrika 1988): the estimate plus and
minus the `level` quantile of |resampled - estimate|. Measures are compared by the logarithm of what
they lack to 1, because near 1 one error fewer is worth more than its share; differences of models
are compared as they are. Either holds its estimate by construction. A percentile, basic or
bias-corrected interval does not, and misses it where resampling moves a measure to one side, as it
does average precision over rare classes.
No bootstrap sees errors that the records do not hold: the interval of a class that few patients
have, or that is ranked perfectly, is widened as `lamae.statistics.ranking_of_few` says. The mean
over classes is widened only where it is perfect, to the mean of the ends of the classes, and where
there is one class. Strata keep the frequencies of the classes, so an interval holds for the mix at
hand.

Means, and differences of two models with ten patients or more, are by resampling alone, and their
coverage depends on the patients with a positive record. In 2,000 simulated studies each of 100 to
150 patients at an AUROC of 0.8, differences were covered in 94 to 96 % with 40 positive patients,
in 93 % with 20 and 92 % with 10: read an interval beside `positive_patients`. Average precision
over rare classes rises by chance in small samples, in every class the same way: its mean over 20
classes of 8 positive patients was covered in 80 %.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from lamae.errors import InputError
from lamae.statistics.interval import (
    Interval,
    check_request,
    shortfall_interval,
    symmetric_interval,
)
from lamae.statistics.metrics import macro, weighted_class_scores
from lamae.statistics.patient_resampling import (
    PatientStrata,
    resample_statistics,
    stratify_patients,
)
from lamae.statistics.ranking_of_few import (
    ScoreIntervals,
    effective_patients,
    joint_differences,
    widened,
)


class BootstrapScores(NamedTuple):
    """Scores of all models on the same resamples of patients."""

    models: dict[str, ScoreIntervals]
    """By model, in the order given."""
    differences: dict[str, ScoreIntervals]
    """The first model minus each other model, by the name of the other."""
    positive_records: dict[str, int]
    """Number of positive records by class, left out or not."""
    positive_patients: dict[str, int]
    """Number of patients with a positive record by class; a handful says little."""
    few: tuple[str, ...]
    """Classes that fewer patients have, or lack, than was asked for, without those left out."""
    left_out: tuple[str, ...]
    """Classes without a positive or without a negative record: in no mean."""
    records: int
    """Number of records."""
    patients: int
    """Number of patients."""
    resamples: int
    """Number of resamples behind each interval."""
    redrawn: int
    """Resamples drawn again because a class lost its positive or its negative records."""
    level: float
    """Probability with which an interval is meant to cover."""


def bootstrap_scores(
    labels: Bool[np.ndarray, "records classes"],
    scores: Mapping[str, np.ndarray],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
    min_patients: int = 1,
) -> BootstrapScores:
    """Score models on the same records, with intervals for them and for their differences.

    Args:
        labels: True where a record is positive for a class.
        scores: by model, (records, classes) numbers that are higher where a class is likelier; or
            (runs, records, classes), and the model's measures are the means over its runs.
        patients: the patient of each record.
        classes: names of the columns of `labels`.
        generator: draws the patients.
        resamples: how often patients are drawn.
        level: probability with which an interval is meant to cover.
        min_patients: patients who must have a class, and who must lack it, for it not to be of few.

    Raises InputError for inputs that do not fit together, for scores that are not finite, where
    no class has both positive and negative records, and where a class has so few patients
    that resamples keep losing it.
    """
    check_request(labels, classes, resamples=resamples, level=level)
    _check_scores(labels, scores)
    strata = stratify_patients(labels, patients)
    runs = {model: values.reshape(-1, *labels.shape) for model, values in scores.items()}
    drawn = resample_statistics(
        {model: partial(_mean_over_runs, labels, values) for model, values in runs.items()},
        labels,
        strata,
        classes=classes,
        resamples=resamples,
        generator=generator,
    )
    return score_intervals(
        drawn.values,
        labels,
        strata,
        classes=classes,
        level=level,
        redrawn=drawn.redrawn,
        min_patients=min_patients,
    )


def score_intervals(
    draws: Mapping[str, np.ndarray],
    labels: Bool[np.ndarray, "records classes"],
    strata: PatientStrata,
    *,
    classes: Sequence[str],
    level: float,
    redrawn: int,
    min_patients: int = 1,
) -> BootstrapScores:
    """Return intervals of models and of their differences, from draws on the same resamples.

    Args:
        draws: by model, (1 + resamples, 2 * classes): AUROC, then average precision, of all
            records first; NaN for a class without a value.
        labels: True where a record is positive for a class.
        strata: the patients of the records.
        classes: names of the columns of `labels`.
        level: probability with which an interval is meant to cover.
        redrawn: resamples that were drawn again.
        min_patients: as in `bootstrap_scores`.
    """
    first, *others = draws
    undefined = np.isnan(draws[first][0]).reshape(2, -1).any(axis=0)
    patients = {
        name: effective_patients(labels[:, i], strata.patient)
        for i, name in enumerate(classes)
        if not undefined[i]
    }
    few = _few(labels, strata, min_patients) & ~undefined
    frequent = np.flatnonzero(~few) if few.any() and not (few | undefined).all() else None
    intervals = partial(_intervals, classes=classes, frequent=frequent)
    models = {
        model: widened(
            intervals(values, partial(shortfall_interval, level=level)),
            patients,
            few=np.array(classes)[few].tolist(),
            level=level,
        )
        for model, values in draws.items()
    }
    between = partial(symmetric_interval, level=level)
    return BootstrapScores(
        models=models,
        differences={
            other: joint_differences(
                intervals(draws[first] - draws[other], between),
                models[first],
                models[other],
                patients,
                level=level,
            )
            for other in others
        },
        positive_records=dict(zip(classes, labels.sum(axis=0).tolist(), strict=True)),
        positive_patients={
            name: len(np.unique(strata.patient[labels[:, i]])) for i, name in enumerate(classes)
        },
        few=tuple(np.array(classes)[few].tolist()),
        left_out=tuple(np.array(classes)[undefined].tolist()),
        records=len(labels),
        patients=len(strata.stratum),
        resamples=len(draws[first]) - 1,
        redrawn=redrawn,
        level=level,
    )


def _mean_over_runs(labels: np.ndarray, runs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return AUROC and average precision, (resamples, 2 * classes)."""
    return np.mean([np.hstack(weighted_class_scores(labels, run, weights)) for run in runs], axis=0)


def _few(labels: np.ndarray, strata: PatientStrata, min_patients: int) -> np.ndarray:
    """Return True for the classes that fewer patients than that have, or lack."""
    counted = [
        [len(np.unique(strata.patient[chosen])) for chosen in (column, ~column)]
        for column in labels.T
    ]
    return np.array(counted).min(axis=1) < min_patients


def _intervals(
    draws: np.ndarray,
    interval: Callable[[np.ndarray], Interval],
    *,
    classes: Sequence[str],
    frequent: np.ndarray | None,
) -> ScoreIntervals:
    measures = np.split(draws, 2, axis=1)
    means = [interval(_defined(macro(values))) for values in measures]
    by_class = [
        {
            name: interval(_defined(values[:, i]))
            for i, name in enumerate(classes)
            if not np.isnan(values[0, i])
        }
        for values in measures
    ]
    found = ScoreIntervals(means[0], means[1], by_class[0], by_class[1])
    if frequent is None:
        return found
    auroc, auprc = (interval(_defined(macro(values[:, frequent]))) for values in measures)
    return found._replace(auroc_frequent=auroc, auprc_frequent=auprc)


def _defined(draws: np.ndarray) -> np.ndarray:
    return draws[~np.isnan(draws)]


def _check_scores(labels: np.ndarray, scores: Mapping[str, np.ndarray]) -> None:
    wrong = {model: v.shape for model, v in scores.items() if v.shape[-2:] != labels.shape}
    if wrong or not scores:
        raise InputError(
            "scores",
            value=wrong or "no model",
            expected=f"one model or more, each of the shape of the labels, {labels.shape}",
            remedy="Score the same records and classes with every model.",
        )
