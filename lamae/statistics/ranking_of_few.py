"""Intervals of AUROC and average precision that hold for few patients and for a perfect ranking.

No resampling sees errors that the records do not hold, so a perfect ranking has no width there, and
with few patients the bootstrap covers too seldom. With m and n patients who have and who lack a
class, k = min(m, n) and a = 1 - level, an interval is widened to these ends:

- of a perfect AUROC, (a/2)^(1/k) and 1, those of Clopper and Pearson for k successes of k. They
  need no distribution: of all with an AUROC of t, none ranks m and n independent patients perfectly
  with a probability over t^k;
- of an AUROC A with k < FEW, those of Clopper and Pearson for k A successes of k: A is a mean over
  patients of numbers from 0 to 1, and of all such numbers of one mean successes spread widest;
- of an AUROC A with k up to SOME, those of Newcombe (Statistics in Medicine 2006, method 5), where
  |A - t| = z sqrt(v(t)) with Hanley and McNeil's v;
- of the difference of two AUROCs with k < FEW, those of Clopper and Pearson for the share
  (1 + difference) / 2, and of two average precisions with m < FEW the same;
- of an average precision with m up to SOME, those of Clopper and Pearson for m;
- of a perfect average precision, 1 and the lower of two: (a/2)^(1/m), for positive patients that
  would be ranked last, and the mean over i = 1 .. m of i / (i + n (1 - (a/2)^(1/n))), for negative
  patients that would be ranked first.

Several records of a patient count as in `lamae.statistics.proportions` where they are all alike.
`benchmarks/coverage.py` measures how often intervals cover.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.optimize import brentq
from scipy.stats import norm

from lamae.statistics.interval import Interval, joint_difference
from lamae.statistics.proportions import clopper_pearson, independent_patients

_ENDS = ("low", "high")

FEW = 10
"""Patients with or without a class below which a class is one of few."""
SOME = 40
"""Patients with or without a class up to which resampling is widened."""


class EffectivePatients(NamedTuple):
    """Patients of a class, as many as are independent."""

    having: float
    """With a positive record."""
    lacking: float
    """With a negative record."""

    @property
    def fewer(self) -> float:
        """Whichever are fewer."""
        return min(self)


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
    auroc_frequent: Interval | None = None
    """Mean AUROC over the classes that are not of few patients; None without such, or all."""
    auprc_frequent: Interval | None = None
    """The same of average precision."""


def effective_patients(
    positive: Bool[np.ndarray, " records"], patient: Int[np.ndarray, " records"]
) -> EffectivePatients:
    """Return the effective numbers of patients with a positive and with a negative record.

    `patient` is the number of the patient of each record. One of the numbers is 0 where a class
    has no record of that kind.
    """
    counts = (np.bincount(patient[chosen]) for chosen in (positive, ~positive))
    return EffectivePatients(
        *(independent_patients(each) if each.any() else 0.0 for each in counts)
    )


def widened_auroc(resampled: Interval, patients: EffectivePatients, *, level: float) -> Interval:
    """Return the interval of an AUROC that holds for few patients, from that of resampling."""
    estimate, fewer = resampled.estimate, patients.fewer
    if estimate in (0.0, 1.0) or fewer < FEW:
        return _reaching(resampled, *clopper_pearson(estimate * fewer, fewer, level=level)[1:])
    if fewer <= SOME:
        return _reaching(resampled, *newcombe(estimate, patients, level=level))
    return resampled


def widened_average_precision(
    resampled: Interval, patients: EffectivePatients, *, level: float
) -> Interval:
    """Return the same of an average precision."""
    estimate, having = resampled.estimate, patients.having
    if estimate == 1:
        end = perfect_average_precision(patients, level=level)
        return _reaching(resampled, end, 1.0)
    if having <= SOME:
        return _reaching(resampled, *clopper_pearson(estimate * having, having, level=level)[1:])
    return resampled


def perfect_average_precision(patients: EffectivePatients, *, level: float) -> float:
    """Return the lower end of an average precision of 1."""
    tail, (having, lacking) = (1 - level) / 2, patients
    ranks = np.arange(1, max(1, round(having)) + 1)
    ahead = lacking * (1 - tail ** (1 / lacking))
    return float(min(tail ** (1 / having), np.mean(ranks / (ranks + ahead))))


def newcombe(estimate: float, patients: EffectivePatients, *, level: float) -> tuple[float, float]:
    """Return the ends of Newcombe's fifth interval of an AUROC that is neither 0 nor 1."""
    quantile, pairs = float(norm.ppf((1 + level) / 2)), patients.having * patients.lacking
    others = sum(patients) / 2 - 1

    def beyond(value: float) -> float:
        lost = (1 - value) / (2 - value) + value / (1 + value)
        variance = value * (1 - value) / pairs * (1 + others * lost)
        return (value - estimate) ** 2 - quantile**2 * variance

    return float(brentq(beyond, 0.0, estimate)), float(brentq(beyond, estimate, 1.0))


def widened(
    found: ScoreIntervals,
    patients: Mapping[str, EffectivePatients],
    *,
    few: Sequence[str],
    level: float,
) -> ScoreIntervals:
    """Return the intervals of one model as few patients and perfect rankings need them."""
    auroc, auprc = (
        {name: widen(interval, patients[name], level=level) for name, interval in own.items()}
        for widen, own in (
            (widened_auroc, found.auroc),
            (widened_average_precision, found.auprc),
        )
    )
    return found._replace(
        auroc_macro=widened_mean(found.auroc_macro, auroc),
        auprc_macro=widened_mean(found.auprc_macro, auprc),
        auroc=auroc,
        auprc=auprc,
        auroc_frequent=_widened_frequent(found.auroc_frequent, auroc, few),
        auprc_frequent=_widened_frequent(found.auprc_frequent, auprc, few),
    )


def widened_mean(mean: Interval, by_class: Mapping[str, Interval]) -> Interval:
    """Return the mean with the mean ends of the classes, where it is perfect or of one class."""
    if not by_class or (len(by_class) > 1 and mean.estimate not in (0.0, 1.0)):
        return mean
    low, high = (float(np.mean([getattr(i, end) for i in by_class.values()])) for end in _ENDS)
    return Interval(mean.estimate, min(low, mean.low), max(high, mean.high))


def _widened_frequent(
    mean: Interval | None, by_class: Mapping[str, Interval], few: Sequence[str]
) -> Interval | None:
    if mean is None:
        return None
    return widened_mean(mean, {n: interval for n, interval in by_class.items() if n not in few})


def joint_differences(
    found: ScoreIntervals,
    first: ScoreIntervals,
    other: ScoreIntervals,
    patients: Mapping[str, EffectivePatients],
    *,
    level: float,
) -> ScoreIntervals:
    """Return the differences of two models as few patients and perfect rankings need them."""
    joint = partial(joint_difference, ends=(0.0, 1.0))

    def of_frequent(*means: Interval | None) -> Interval | None:
        known = [mean for mean in means if mean is not None]
        return joint(*known) if known else None

    fewest = (
        {name: own.fewer for name, own in patients.items()},
        {name: own.having for name, own in patients.items()},
    )
    auroc, auprc = (
        {
            name: _widened_difference(joint(interval, ours[name], theirs[name]), few[name], level)
            for name, interval in own.items()
        }
        for own, ours, theirs, few in zip(found[2:4], first[2:4], other[2:4], fewest, strict=True)
    )
    return found._replace(
        auroc_macro=joint(found.auroc_macro, first.auroc_macro, other.auroc_macro),
        auprc_macro=joint(found.auprc_macro, first.auprc_macro, other.auprc_macro),
        auroc=auroc,
        auprc=auprc,
        auroc_frequent=of_frequent(*(part.auroc_frequent for part in (found, first, other))),
        auprc_frequent=of_frequent(*(part.auprc_frequent for part in (found, first, other))),
    )


def _widened_difference(difference: Interval, patients: float, level: float) -> Interval:
    """Widen a difference, a mean over patients of numbers from -1 to 1, as that of 0 to 1 is."""
    if patients >= FEW:
        return difference
    share = (difference.estimate + 1) / 2
    _, low, high = clopper_pearson(share * patients, patients, level=level)
    return _reaching(difference, 2 * low - 1, 2 * high - 1)


def _reaching(resampled: Interval, low: float, high: float) -> Interval:
    estimate = resampled.estimate
    return Interval(
        estimate, min(resampled.low, low, estimate), max(resampled.high, high, estimate)
    )
