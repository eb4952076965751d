"""Sensitivity, specificity and predictive values by class, with exact intervals by patient.

Recordings of several runs or repeats are those of the same patients, and count as such.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from finetune.evaluation.operating_points import Decisions
from lamae.statistics.interval import Interval
from lamae.statistics.metrics import defined_classes
from lamae.statistics.proportions import proportion_interval

PREDICTIVE = {"ppv": "PPV", "npv": "NPV"}
"""Keys and names of the shares of those called, and of those not called, that are so rightly."""

Measures = dict[tuple[str, str | None], Interval]
"""By key and class; of means over classes the class is None."""


class Proportions(NamedTuple):
    """Proportions that decisions on one class achieve; None where nothing is counted in."""

    sensitivity: Interval | None
    """Share of the positive recordings that are called."""
    specificity: Interval | None
    """Share of the negative recordings that are not called."""
    ppv: Interval | None
    """Share of those called that are positive."""
    npv: Interval | None
    """Share of those not called that are negative."""


def proportions_of(
    called: Bool[np.ndarray, "runs records"],
    positive: Bool[np.ndarray, " records"],
    patients: Sequence[str] | np.ndarray,
    *,
    level: float = 0.95,
) -> Proportions:
    """Return what decisions of one run or several achieve."""
    every, truth = called.ravel(), np.tile(positive, len(called))
    names = np.tile(np.asarray(patients), len(called))

    def share(right: np.ndarray, of: np.ndarray) -> Interval | None:
        return proportion_interval(right[of], names[of], level=level) if of.any() else None

    return Proportions(
        share(every, truth),
        share(~every, ~truth),
        share(truth, every),
        share(~truth, ~every),
    )


def measure_proportions(
    decisions: Decisions,
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    decided: Bool[np.ndarray, " classes"],
    has_threshold: Bool[np.ndarray, " classes"],
) -> Measures:
    """Return the proportions of each class at the thresholds of one classifier.

    `decided` is True for the classes that are called at the thresholds of highest F1, or as the
    likeliest, `has_threshold` for those with one of a fixed specificity.
    """
    found: Measures = {}
    known = defined_classes(labels)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    for column in np.flatnonzero(known & decided).tolist():
        own = proportions_of(decisions.f1[..., column], labels[:, column], patient)
        found |= _keyed(own, classes[column], "")
    for column in np.flatnonzero(known & has_threshold).tolist():
        own = proportions_of(decisions.specific[..., column], labels[:, column], patient)
        found |= _keyed(own._replace(ppv=None, npv=None), classes[column], "_at_90")
    return found


def with_proportions(resampled: Measures, exact: Mapping[tuple[str, str | None], Interval]) -> None:
    """Put exact intervals in the place of resampled ones, and widen means that cannot move."""
    resampled.update(exact)
    for key in {key for key, name in resampled if name is None}:
        ends = list(_of_classes(resampled, key))
        if ends and resampled[key, None].estimate in (0.0, 1.0):
            low, high = np.mean([interval[1:] for interval in ends], axis=0)
            resampled[key, None] = Interval(resampled[key, None].estimate, float(low), float(high))


def _of_classes(found: Measures, key: str) -> Iterator[Interval]:
    exact = key.removesuffix("_at_90") in Proportions._fields
    return (i for (own, name), i in found.items() if exact and own == key and name is not None)


def _keyed(found: Proportions, name: str, suffix: str) -> Measures:
    return {
        (f"{key}{suffix}", name): interval
        for key, interval in found._asdict().items()
        if interval is not None
    }
