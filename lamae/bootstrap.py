"""Confidence intervals of AUROC and average precision by a bootstrap over patients.

Patients are drawn with replacement and bring all their records, because records of one patient
are no independent evidence. They are drawn within strata: the stratum of a patient is the rarest
class that any of its records is positive for. A resample in which a class still lost all its
positive or all its negative records is drawn again, so every mean over classes is over the same
classes. Every model is scored on the same resamples, which makes differences paired.

The interval is the symmetric bootstrap interval (Hall, Biometrika 1988): the estimate plus and
minus the `level` quantile of |resampled - estimate|, cut where the measure itself ends. It holds
its estimate by construction. A percentile, basic or bias-corrected interval does not, and misses
it where resampling moves a measure to one side, as it does average precision over rare classes.
A measure that no resample moves (a perfect ranking) gets a width of zero: no bootstrap sees
errors that the records do not hold. Strata keep the frequencies of the classes, so an interval
speaks of the mix at hand. With a dozen positive patients it is too narrow, for average precision
more than for AUROC: read it beside `positive_patients`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lamae.errors import InputError
from lamae.metrics import (
    ClassScores,
    class_scores,
    defined_classes,
    left_out,
    macro,
    weighted_class_scores,
)
from lamae.resampling import PatientStrata, draw_records, stratify_patients

_CHUNK_NUMBERS = 2**18
"""Weights in work at once; more would leave the cache of the processor."""


class Interval(NamedTuple):
    """A measure and its confidence interval; low <= estimate <= high."""

    estimate: float
    """The measure on all records."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


class ScoreIntervals(NamedTuple):
    """The measures of one model, or of one model minus another."""

    auroc_macro: Interval
    """Mean AUROC over the classes that are not left out."""
    auprc_macro: Interval
    """Mean average precision over the classes that are not left out."""
    auroc: dict[str, Interval]
    """AUROC by class, without the classes left out."""
    auprc: dict[str, Interval]
    """Average precision by class, without the classes left out."""


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

    Raises InputError for inputs that do not fit together, for scores that are not finite, where
    no class has both positive and negative records, and where a class hangs on so few patients
    that resamples keep losing it.
    """
    _check_request(labels, scores, classes, resamples=resamples, level=level)
    strata = stratify_patients(labels, patients)
    draws, redrawn = _score_resamples(
        labels, scores, strata, classes=classes, resamples=resamples, generator=generator
    )
    first, *others = scores
    differences = {
        other: ClassScores(*(a - b for a, b in zip(draws[first], draws[other], strict=True)))
        for other in others
    }
    return BootstrapScores(
        models={m: _intervals(draws[m], classes, level=level, lowest=0.0) for m in scores},
        differences={
            other: _intervals(differences[other], classes, level=level, lowest=-1.0)
            for other in others
        },
        positive_records=dict(zip(classes, labels.sum(axis=0).tolist(), strict=True)),
        positive_patients={
            name: len(np.unique(strata.patient[labels[:, i]])) for i, name in enumerate(classes)
        },
        left_out=tuple(left_out(labels, classes)),
        records=len(labels),
        patients=len(strata.stratum),
        resamples=resamples,
        redrawn=redrawn,
        level=level,
    )


def _score_resamples(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    strata: PatientStrata,
    *,
    classes: Sequence[str],
    resamples: int,
    generator: np.random.Generator,
) -> tuple[dict[str, ClassScores], int]:
    """Return by model (1 + resamples, classes), all records first; and the resamples redrawn."""
    runs = {model: values.reshape(-1, *labels.shape) for model, values in scores.items()}
    chunks = {
        model: [_mean([class_scores(labels, values) for values in of_model])]
        for model, of_model in runs.items()
    }
    size = max(1, _CHUNK_NUMBERS // len(labels))
    redrawn = 0
    for start in range(0, resamples, size):
        weights, again = draw_records(
            labels, strata, classes, number=min(size, resamples - start), generator=generator
        )
        redrawn += again
        for model, of_model in runs.items():
            found = [weighted_class_scores(labels, values, weights) for values in of_model]
            chunks[model].append(_mean(found))
    stacked = {
        model: ClassScores(*(np.vstack(values) for values in zip(*parts, strict=True)))
        for model, parts in chunks.items()
    }
    return stacked, redrawn


def _mean(of_runs: Sequence[ClassScores]) -> ClassScores:
    return ClassScores(*(np.mean(values, axis=0) for values in zip(*of_runs, strict=True)))


def _intervals(
    draws: ClassScores, classes: Sequence[str], *, level: float, lowest: float
) -> ScoreIntervals:
    means = [_interval(macro(values), level=level, lowest=lowest) for values in draws]
    by_class = [
        {
            name: _interval(values[:, i], level=level, lowest=lowest)
            for i, name in enumerate(classes)
            if not np.isnan(values[0, i])
        }
        for values in draws
    ]
    return ScoreIntervals(means[0], means[1], by_class[0], by_class[1])


def _interval(
    draws: Float[np.ndarray, " all_records_then_resamples"], *, level: float, lowest: float
) -> Interval:
    estimate = float(draws[0])
    distance = float(np.quantile(np.abs(draws[1:] - estimate), level))
    return Interval(estimate, max(lowest, estimate - distance), min(1.0, estimate + distance))


def _check_request(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    classes: Sequence[str],
    *,
    resamples: int,
    level: float,
) -> None:
    if len(classes) != labels.shape[1] or len(set(classes)) != len(classes):
        raise InputError(
            "classes",
            value=f"{list(classes)} for {labels.shape[1]} columns",
            expected="one name of its own for each column of the labels",
            remedy="Give the names in the order of the columns.",
        )
    wrong = {model: v.shape for model, v in scores.items() if v.shape[-2:] != labels.shape}
    if wrong or not scores:
        raise InputError(
            "scores",
            value=wrong or "no model",
            expected=f"one model or more, each of the shape of the labels, {labels.shape}",
            remedy="Score the same records and classes with every model.",
        )
    if not defined_classes(labels).any():
        raise InputError(
            "labels",
            value="no class with both a positive and a negative record",
            expected="at least one such class",
            remedy="Give more records.",
        )
    if resamples < 1 or not 0 < level < 1:
        raise InputError(
            "bootstrap",
            value=f"resamples={resamples}, level={level}",
            expected="one resample or more and a level between 0 and 1",
            remedy="1000 resamples and a level of 0.95 are usual.",
        )
