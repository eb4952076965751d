"""Exact intervals of proportions, such as sensitivity, by patient.

An interval is that of Clopper and Pearson (Biometrika 1934) with numbers of effective recordings
in place of recordings, because several recordings of a patient are no independent evidence (Korn
and Graubard, Survey Methodology 1998). With n_i recordings and x_i successes of patient i, n and x
of all, I patients and p = x / n:

- where every patient has one recording, n is effective: the interval is exact;
- where successes and failures are of MIN_PATIENTS patients each, n / D with the design effect
  D = I / (I - 1) sum (x_i - p n_i)^2 / (n p (1 - p)), times (t_(n-1) / t_(I-1))^2 of the
  quantiles of Student's t, and never more than n;
- elsewhere too few patients tell what D is, and recordings of a patient are taken to be all alike:
  n^2 / sum n_i^2 (Kish 1965), which is the number of patients where all have as many recordings.

So a proportion of 1 has a lower end below it, as a bootstrap has not: of 5 patients, all found, it
is 0.478. `benchmarks/coverage.py` measures how often intervals cover.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped
from scipy.stats import beta
from scipy.stats import t as student_t

from lamae.errors import InputError
from lamae.statistics.interval import Interval

MIN_PATIENTS = 10
"""Patients with a success, and with a failure, from which on a design effect is estimated."""


def clopper_pearson(successes: float, number: float, *, level: float = 0.95) -> Interval:
    """Return a proportion with its exact interval; numbers need not be whole.

    Raises InputError for numbers that are no part and whole, and for a level outside of 0 to 1.
    """
    if not (0 <= successes <= number and number > 0 and 0 < level < 1):
        raise InputError(
            "proportion",
            value=f"{successes} of {number} at a level of {level}",
            expected="a part from 0 to a positive whole, and a level between 0 and 1",
            remedy="Leave out what nothing was counted in.",
        )
    tail, failures = (1 - level) / 2, number - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures > 0 else 1.0
    estimate = successes / number
    return Interval(estimate, min(low, estimate), max(high, estimate))


def proportion_interval(
    success: Bool[np.ndarray, " records"],
    patients: Sequence[str] | Shaped[np.ndarray, " records"],
    *,
    level: float = 0.95,
) -> Interval:
    """Return the share of successes with its interval by patient.

    Raises InputError without a record, and unless there is one patient per record.
    """
    number = effective_number(success, patients, level=level)
    return clopper_pearson(float(success.mean()) * number, number, level=level)


def effective_number(
    success: Bool[np.ndarray, " records"],
    patients: Sequence[str] | Shaped[np.ndarray, " records"],
    *,
    level: float = 0.95,
) -> float:
    """Return how many independent recordings say as much about the share of successes.

    Raises InputError as `proportion_interval`.
    """
    if len(patients) != len(success) or len(success) == 0:
        raise InputError(
            "patients",
            value=f"{len(patients)} for {len(success)} records",
            expected="the patient of each of one or more records",
            remedy="Give one name per record.",
        )
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    records = np.bincount(patient).astype(np.float64)
    successes = np.bincount(patient, weights=success)
    if records.max() == 1:
        return float(len(success))
    seen = min(np.count_nonzero(successes), np.count_nonzero(records - successes))
    if seen < MIN_PATIENTS:
        return independent_patients(records)
    total, share, people = records.sum(), successes.sum() / records.sum(), len(records)
    spread = people / (people - 1) * ((successes - share * records) ** 2).sum()
    effective = total * total * share * (1 - share) / spread if spread > 0 else total
    tail = (1 + level) / 2
    shrunk = student_t.ppf(tail, total - 1) / student_t.ppf(tail, people - 1)
    return float(min(total, effective * shrunk**2))


def independent_patients(records: Sequence[float] | np.ndarray) -> float:
    """Return the effective number of patients from the recordings of each (Kish 1965)."""
    counted = np.asarray(records, dtype=np.float64)
    return float(counted.sum() ** 2 / (counted**2).sum())


def predictive_values(
    sensitivity: tuple[float, float], specificity: tuple[float, float], *, prevalence: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return lower and upper ends of PPV and of NPV where a share `prevalence` is positive.

    From those of sensitivity and specificity by Bayes' theorem: both rise with either. Recordings
    of the two are different ones, so ends at a level of sqrt(0.95) each hold together in 95 %.
    """
    ends = list(zip(sensitivity, specificity, strict=True))
    ppv = tuple(
        _ratio(found * prevalence, (1 - spared) * (1 - prevalence)) for found, spared in ends
    )
    npv = tuple(
        _ratio(spared * (1 - prevalence), (1 - found) * prevalence) for found, spared in ends
    )
    return (ppv[0], ppv[1]), (npv[0], npv[1])


def _ratio(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0 else float("nan")
