"""A share of the training patients, nested: a smaller share is part of a larger one."""

import numpy as np
from jaxtyping import Bool, Int

from lamae.statistics.patient_resampling import PatientStrata, stratify_patients


def patient_share(
    labels: Bool[np.ndarray, "records classes"],
    patients: list[str],
    *,
    share: float,
    seed: int,
) -> Bool[np.ndarray, " records"]:
    """Return True for the recordings of a share of the patients, at least one, by seed.

    All patients stand in one order, which depends on the seed alone, and a share is its beginning.
    At its head are as few patients as give every class a positive recording, the rarest class
    first; behind them come the others so that any beginning has the strata of the rarest class in
    their proportions. A share of fewer patients than the head lacks classes at the head's end.
    """
    strata = stratify_patients(labels, patients)
    generator = np.random.default_rng([seed, 2])
    order = _order(labels, strata, generator)
    kept = np.zeros(len(order), dtype=bool)
    kept[order[: max(1, round(share * len(order)))]] = True
    return kept[strata.patient]


def _order(
    labels: np.ndarray, strata: PatientStrata, generator: np.random.Generator
) -> Int[np.ndarray, " patients"]:
    number = len(strata.stratum)
    shuffled = generator.permutation(number)
    head = _one_of_each_class(labels, strata.patient, shuffled)
    place = np.empty(number)
    for stratum in np.unique(strata.stratum):
        members = shuffled[strata.stratum[shuffled] == stratum]
        place[members] = (np.arange(len(members)) + generator.random()) / len(members)
    place[head] = np.arange(len(head)) - len(head)  # before all others, whose place is not negative
    return np.argsort(place, kind="stable")


def _one_of_each_class(labels: np.ndarray, patient: np.ndarray, shuffled: np.ndarray) -> list[int]:
    """Return patients who together have every class, in the order of the classes' rarity."""
    has = np.zeros((len(shuffled), labels.shape[1]), dtype=bool)
    np.logical_or.at(has, patient, labels)
    covered = np.zeros(labels.shape[1], dtype=bool)
    head: list[int] = []
    for number in np.argsort(has.sum(axis=0), kind="stable"):
        if not covered[number] and has[:, number].any():
            head.append(int(shuffled[has[shuffled, number]][0]))
            covered |= has[head[-1]]
    return head
