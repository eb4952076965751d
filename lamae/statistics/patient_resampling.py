"""Resamples of patients, who bring all their records, within strata of their rarest class.

A statistic is any function from weights (resamples, records), which say how often each record is
drawn, to measures (resamples, measures). One row of ones gives it on all records.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes

Statistic = Callable[[np.ndarray], np.ndarray]
"""From weights (resamples, records) to measures (resamples, measures)."""

_MOST_REDRAWS = 1000
_CHUNK_NUMBERS = 2**18
"""Weights in work at once; more would leave the cache of the processor."""


class ResampledStatistics(NamedTuple):
    """Statistics of several models on the same resamples of patients."""

    values: dict[str, Float[np.ndarray, "all_records_then_resamples measures"]]
    """By model; the first row is on all records."""
    redrawn: int
    """Resamples drawn again because a class lost its positive or its negative records."""


class PatientStrata(NamedTuple):
    """Patients as numbers, and the stratum of each."""

    patient: Int[np.ndarray, " records"]
    """Number of the patient of each record."""
    stratum: Int[np.ndarray, " patients"]
    """Number of the rarest positive class of each patient; the number of classes for none."""


def stratify_patients(
    labels: Bool[np.ndarray, "records classes"], patients: Sequence[str]
) -> PatientStrata:
    """Put each patient in the stratum of its rarest positive class, counted in patients.

    Raises InputError unless there is one patient per record.
    """
    if len(patients) != len(labels) or len(labels) == 0:
        raise InputError(
            "patients",
            value=f"{len(patients)} for {len(labels)} records",
            expected="the patient of each of one or more records",
            remedy="Give one name per record; a record of an unknown patient gets its own name.",
        )
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    positive = np.zeros((len(names), labels.shape[1]), dtype=bool)
    np.logical_or.at(positive, patient, labels)
    frequency = np.where(positive, positive.sum(axis=0), len(names) + 1)
    stratum = np.where(positive.any(axis=1), frequency.argmin(axis=1), labels.shape[1])
    return PatientStrata(patient, stratum)


def resample_statistics(
    statistics: Mapping[str, Statistic],
    labels: Bool[np.ndarray, "records classes"],
    strata: PatientStrata,
    *,
    classes: Sequence[str],
    resamples: int,
    generator: np.random.Generator,
) -> ResampledStatistics:
    """Compute every statistic on all records and on the same resamples of patients.

    Raises InputError where a class has so few patients that resamples keep losing it.
    """
    once = np.ones((1, len(labels)), dtype=np.int64)
    chunks = {model: [statistic(once)] for model, statistic in statistics.items()}
    size = max(1, _CHUNK_NUMBERS // len(labels))
    redrawn = 0
    for start in range(0, resamples, size):
        weights, again = draw_records(
            labels, strata, classes, number=min(size, resamples - start), generator=generator
        )
        redrawn += again
        for model, statistic in statistics.items():
            chunks[model].append(statistic(weights))
    values = {model: np.concatenate(parts) for model, parts in chunks.items()}
    return ResampledStatistics(values, redrawn)


def draw_records(
    labels: np.ndarray,
    strata: PatientStrata,
    classes: Sequence[str],
    *,
    number: int,
    generator: np.random.Generator,
) -> tuple[Int[np.ndarray, "resamples records"], int]:
    """Return how often each record is drawn in each resample, and how many were drawn again.

    Raises InputError where a class has so few patients that resamples keep losing it.
    """
    weights = _draw_patients(strata, number, generator)[:, strata.patient]
    kept = defined_classes(labels)
    redrawn = 0
    for _ in range(_MOST_REDRAWS):
        positives = weights @ labels.astype(np.float64)
        lost = (positives == 0) | (positives == weights.sum(axis=1, keepdims=True))
        lost &= kept
        failed = np.flatnonzero(lost.any(axis=1))
        if len(failed) == 0:
            return weights, redrawn
        redrawn += len(failed)
        weights[failed] = _draw_patients(strata, len(failed), generator)[:, strata.patient]
    lost_most = classes[int(lost.sum(axis=0).argmax())]
    raise InputError(
        f"class {lost_most}",
        value=f"lost its positive or negative records in {_MOST_REDRAWS} resamples running",
        expected="several patients with and several without the class",
        remedy="Leave the class out, or score it without an interval.",
    )


def _draw_patients(
    strata: PatientStrata, number: int, generator: np.random.Generator
) -> Int[np.ndarray, "resamples patients"]:
    drawn = np.empty((number, len(strata.stratum)), dtype=np.int64)
    for stratum in np.unique(strata.stratum):
        members = np.flatnonzero(strata.stratum == stratum)
        even = np.full(len(members), 1 / len(members))
        drawn[:, members] = generator.multinomial(len(members), even, size=number)
    return drawn
