"""The interval of a measure, from its values on resamples.

The interval is the symmetric bootstrap interval (Hall, Biometrika 1988): the estimate plus and
minus the `level` quantile of |resampled - estimate|.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes

_DECIMALS, _MOST_DECIMALS = 3, 6
_LARGE = 10


class Interval(NamedTuple):
    """A measure and its confidence interval; low <= estimate <= high."""

    estimate: float
    """The measure on all records."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def __str__(self) -> str:
        """Write it with three decimals, as tables of this field do, or more where ends differ."""
        digits = self.digits
        return f"{self.estimate:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    @property
    def digits(self) -> int:
        """Decimals from three on with which a width that there is can be seen; one from 10 on."""
        if abs(self.high) >= _LARGE:
            return 1
        if not self.low < self.high:
            return _DECIMALS
        enough = (d for d in range(_DECIMALS, _MOST_DECIMALS) if _differ(self.low, self.high, d))
        return next(enough, _MOST_DECIMALS)


def symmetric_interval(
    draws: Float[np.ndarray, " all_records_then_resamples"],
    *,
    level: float,
    lowest: float = -1.0,
    highest: float = 1.0,
) -> Interval:
    """Return the symmetric bootstrap interval, cut where the measure ends."""
    estimate = float(draws[0])
    distance = float(np.quantile(np.abs(draws[1:] - estimate), level))
    return Interval(estimate, max(lowest, estimate - distance), min(highest, estimate + distance))


def shortfall_interval(
    draws: Float[np.ndarray, " all_records_then_resamples"],
    *,
    level: float,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Interval:
    """Return the symmetric bootstrap interval of log(highest - measure), cut at the lowest value.

    A perfect draw, whose logarithm is infinite, counts as half as far away as the nearest other.
    Near `highest`, where such draws are many, what they reflect below is cut at twice the distance
    of the interval that is symmetric in the measure itself.
    """
    lacking = highest - draws
    nearest = np.min(lacking, initial=np.inf, where=lacking > 0)
    logarithm = np.log(np.where(lacking > 0, lacking, nearest / 2 if nearest < np.inf else 1.0))
    factor = np.exp(np.quantile(np.abs(logarithm[1:] - logarithm[0]), level))
    estimate, wide = float(draws[0]), float(np.exp(logarithm[0]))
    if factor == 1:
        return Interval(estimate, estimate, estimate)
    farthest = estimate - 2 * float(np.quantile(np.abs(draws[1:] - estimate), level))
    low, high = (float(highest - wide * times) for times in (factor, 1 / factor))
    return Interval(estimate, max(lowest, farthest, min(estimate, low)), max(estimate, high))


def joint_difference(
    difference: Interval, first: Interval, other: Interval, *, ends: tuple[float, float]
) -> Interval:
    """Return the interval of a difference of two models, wide enough where neither can move.

    Measures at an end of their range are moved by no resample, and so is their difference: it then
    reaches as far as the intervals of both allow.
    """
    if first.estimate not in ends or other.estimate not in ends:
        return difference
    low, high = first.low - other.high, first.high - other.low
    return Interval(difference.estimate, min(difference.low, low), max(difference.high, high))


def _differ(low: float, high: float, decimals: int) -> bool:
    return round(low, decimals) != round(high, decimals)


def check_request(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    resamples: int,
    level: float,
) -> None:
    """Raise InputError unless classes, resamples and level fit the labels."""
    if len(classes) != labels.shape[1] or len(set(classes)) != len(classes):
        raise InputError(
            "classes",
            value=f"{list(classes)} for {labels.shape[1]} columns",
            expected="one name of its own for each column of the labels",
            remedy="Give the names in the order of the columns.",
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
