"""Results by group: the classifier on parts of the evaluation recordings, beside all of them.

Groups are by facts that the shards hold about recordings. A group and all recordings are scored on
the same resamples of patients, drawn as in `lamae.statistics.score_intervals` but for strata: those
of the group's recordings are apart from the others.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from finetune.data.label_rules import MISSING
from finetune.evaluation.ranking_measures import interval_as_dict
from finetune.evaluation.recording_facts import fact_cells, is_age
from finetune.experiment.candidate_results import ExperimentResults
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.statistics.interval import Interval, shortfall_interval, symmetric_interval
from lamae.statistics.metrics import defined_classes, macro, weighted_class_scores
from lamae.statistics.patient_resampling import (
    ResampledStatistics,
    Statistic,
    resample_statistics,
    stratify_patients,
)
from lamae.statistics.ranking_of_few import effective_patients, widened_auroc, widened_mean
from lamae.storage.corpus import Corpus

_log = logging.getLogger(__name__)

MIN_PATIENTS = 10
"""Patients with a class, and patients without, below which the class is marked in a group."""
TOO_FEW, NO_CLASS = "too few patients", "no class to rank"
"""Reasons for the absence of a measure: each class is marked; none is had by some and lacked by
others."""
LEVEL = 0.95
"""Probability with which an interval is meant to cover."""
UNKNOWN = "unknown"
"""Group of the recordings about which a fact is unknown."""
MAX_CATEGORIES = 8
"""Categories that are groups of their own."""

_AGE_STARTS = (0, 18, 40, 60, 80)
_DATE = re.compile(r"(\d{4})-\d\d(?!\d)")


class Group(NamedTuple):
    """Recordings that are alike in one fact."""

    fact: str
    """Name of the fact, such as sex."""
    name: str
    """Value or values."""
    member: Bool[np.ndarray, " records"]
    """True for the evaluation recordings of the group."""


class GroupResult(NamedTuple):
    """Measures of the classifier on one group."""

    fact: str
    """Name of the fact."""
    name: str
    """Name of the group."""
    records: int
    """Recordings."""
    patients: int
    """Patients; one can be in several groups, as by age."""
    positive_patients: dict[str, int]
    """Patients with the class, of each class that some recording has and some has not."""
    few: tuple[str, ...]
    """Of these classes, those that fewer than MIN_PATIENTS patients have, or have not."""
    auroc: dict[str, Interval]
    """By class; empty where the group is too small."""
    auroc_macro: Interval | None
    """Mean over these classes; None where the group is too small."""
    difference: Interval | None
    """The mean minus that of all recordings over the same classes, paired."""
    reason: str | None
    """Reason for the absence of a measure."""


def measure_groups(
    results: ExperimentResults, corpus: Corpus, facts: Sequence[str], settings: FinetuneSettings
) -> list[GroupResult]:
    """Score the classifier in question on each group, with intervals by patient."""
    rows = results.task.evaluation.rows
    groups = []
    for fact in facts:
        groups += make_groups(fact, fact_cells(corpus, fact, rows))
    own = next(iter(results.by_candidate.values())).probabilities
    return [_measure(group, own, results, settings) for group in groups]


def groups_summary(found: Sequence[GroupResult]) -> dict[str, Any]:
    """Return, for summary.json, the results by fact and group; nothing where there are none."""
    groups: dict[str, dict[str, Any]] = {}
    for one in found:
        part: dict[str, Any] = {"records": one.records, "patients": one.patients}
        part |= {"positive_patients": one.positive_patients, "few_patients": list(one.few)}
        if one.auroc_macro is not None and one.difference is not None:
            part["auroc_macro"] = interval_as_dict(one.auroc_macro)
            part["auroc_macro_difference"] = interval_as_dict(one.difference)
            part["auroc"] = {name: interval_as_dict(each) for name, each in one.auroc.items()}
        else:
            part["reason"] = one.reason
        groups.setdefault(one.fact, {})[one.name] = part
    return {"groups": groups} if groups else {}


def make_groups(fact: str, cells: Sequence[str | None]) -> list[Group]:
    """Divide recordings by a fact about them; those about which it is unknown are a group.

    Age is cut into the bands 0-17, 18-39, 40-59, 60-79 and 80+. Other numbers are cut at their
    quartiles, unless the eight most frequent values are those of half the recordings, as of sites
    with numbers. Dates go by year. The rest are categories, the most frequent first; after the
    first eight all others are joined.
    """
    known = [known_cell(cell) for cell in cells]
    given = [cell for cell in known if cell is not None]
    numbers = np.array([number_in(cell) for cell in known])
    counted = int(np.isfinite(numbers).sum())
    if is_age(fact) and 2 * counted > len(given):
        members = _bands(numbers)
    elif counted == len(given) and 2 * _in_categories(given) < len(given):
        members = _quarters(numbers)
    elif all(_DATE.match(cell) for cell in given):
        members = _categories([None if cell is None else cell[:4] for cell in known])
    else:
        members = _categories(known)
    members[UNKNOWN] = ~np.any([*members.values(), np.zeros(len(cells), dtype=bool)], axis=0)
    return [Group(fact, name, member) for name, member in members.items() if member.any()]


def _bands(ages: np.ndarray) -> dict[str, np.ndarray]:
    ends = [*_AGE_STARTS[1:], np.inf]
    return {
        f"{start}+" if end == np.inf else f"{start}-{end - 1}": (ages >= start) & (ages < end)
        for start, end in zip(_AGE_STARTS, ends, strict=True)
    }


def _quarters(numbers: np.ndarray) -> dict[str, np.ndarray]:
    cuts = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75]))
    names = [f"up to {cuts[0]:g}"]
    names += [f"over {low:g}, up to {high:g}" for low, high in pairwise(cuts)]
    names += [f"over {cuts[-1]:g}"]
    place = np.where(np.isfinite(numbers), np.searchsorted(cuts, numbers), -1)
    return {name: place == number for number, name in enumerate(names)}


def _in_categories(cells: Sequence[str]) -> int:
    return sum(number for _, number in Counter(cells).most_common(MAX_CATEGORIES))


def _categories(cells: Sequence[str | None]) -> dict[str, np.ndarray]:
    counts = Counter(cell for cell in cells if cell is not None)
    ordered = sorted(counts, key=lambda cell: (-counts[cell], cell))
    names, others = ordered[:MAX_CATEGORIES], set(ordered[MAX_CATEGORIES:])
    members = {name: np.array([cell == name for cell in cells]) for name in names}
    if others:
        members[f"{len(others)} others"] = np.array([cell in others for cell in cells])
    return members


def _measure(
    group: Group, scores: np.ndarray, results: ExperimentResults, settings: FinetuneSettings
) -> GroupResult:
    part, member = results.task.evaluation, group.member
    own = part.where(member)
    patients = np.array(own.patients)
    columns = np.flatnonzero(defined_classes(own.labels))
    names = [results.task.classes[column] for column in columns]
    having = [len(set(patients[own.labels[:, column]])) for column in columns]
    lacking = [len(set(patients[~own.labels[:, column]])) for column in columns]
    smaller = np.minimum(having, lacking)
    found = GroupResult(
        group.fact,
        group.name,
        records=int(member.sum()),
        patients=len(set(own.patients)),
        positive_patients=dict(zip(names, having, strict=True)),
        few=tuple(name for name, few in zip(names, smaller < MIN_PATIENTS, strict=True) if few),
        auroc={},
        auroc_macro=None,
        difference=None,
        reason=None,
    )
    if not names:
        return found._replace(reason=NO_CLASS)
    if len(found.few) == len(names):
        return found._replace(reason=TOO_FEW)
    try:
        values = _resample(member, scores, results, settings, columns).values
    except InputError as error:  # a class that resamples keep losing must not end the run
        _log.warning("%s %s: %s", group.fact, group.name, error)
        return found._replace(reason=TOO_FEW)
    mean = macro(values["group"])
    _, number = np.unique(patients, return_inverse=True)
    auroc = {
        name: widened_auroc(
            shortfall_interval(values["group"][:, row], level=LEVEL),
            effective_patients(own.labels[:, column], number),
            level=LEVEL,
        )
        for row, (name, column) in enumerate(zip(names, columns, strict=True))
    }
    return found._replace(
        auroc=auroc,
        auroc_macro=widened_mean(shortfall_interval(mean, level=LEVEL), auroc),
        difference=symmetric_interval(mean - macro(values["all"]), level=LEVEL),
    )


def _resample(
    member: np.ndarray,
    scores: np.ndarray,
    results: ExperimentResults,
    settings: FinetuneSettings,
    columns: np.ndarray,
) -> ResampledStatistics:
    """Compute AUROC of the group and of all recordings for some classes, all on one draw."""
    labels, inside = results.task.evaluation.labels, member[:, None]
    some, theirs = labels[:, columns], scores[:, columns]

    def of(kept: np.ndarray) -> Statistic:
        return lambda weights: (
            weighted_class_scores(some[kept], theirs[kept], weights[:, kept]).auroc
        )

    return resample_statistics(
        {"group": of(member), "all": of(np.ones_like(member))},
        np.hstack([some & inside, ~some & inside]),  # neither side of a class may be lost
        stratify_patients(
            np.hstack([labels & inside, labels & ~inside]), results.task.evaluation.patients
        ),
        classes=[results.task.classes[column] for column in (*columns, *columns)],
        resamples=settings.resamples,
        generator=np.random.default_rng([settings.seed, 1]),
    )


def known_cell(cell: str | None) -> str | None:
    """Return a cell that says something, without blanks at its ends, or None."""
    text = (cell or "").strip()
    return None if not text or text.casefold() in MISSING | {UNKNOWN} else text


def number_in(cell: str | None) -> float:
    """Return a number, as 90 of 90+ and of >90; NaN for what is none."""
    try:
        return float((cell or "").strip(">+= ").replace(",", "."))
    except ValueError:
        return np.nan
