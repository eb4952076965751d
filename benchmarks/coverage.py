"""How often 95 % intervals of few patients cover the truth, in simulated studies.

.venv/bin/python benchmarks/coverage.py [--studies 300] [--json FILE]
For 1 to 40 positive patients: sensitivities, with one recording of each patient and with one to
four that are half alike; AUROC and average precision of 150 patients, whose scores are normal, or
of whom some positives look like negatives (missed). Beside each interval stands the bootstrap by
itself, which it replaces or widens. SE of a coverage of 0.95 is 0.013 with 300 studies.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from lamae.files import write_json
from lamae.statistics.interval import Interval, shortfall_interval
from lamae.statistics.metrics import weighted_class_scores
from lamae.statistics.patient_resampling import resample_statistics, stratify_patients
from lamae.statistics.proportions import proportion_interval
from lamae.statistics.ranking_of_few import (
    effective_patients,
    widened_auroc,
    widened_average_precision,
)

POSITIVES = (1, 2, 5, 10, 20, 40)
SENSITIVITIES = (0.6, 0.9, 0.99)
AUROCS = (0.8, 0.95, 0.99)
PATIENTS, RESAMPLES, LEVEL = 150, 200, 0.95
ALIKE = 0.5
"""Correlation of whether two recordings of a patient are found."""

Pair = tuple[Interval, Interval]
"""Interval as it is given, and that of the bootstrap by itself."""


class Coverage(NamedTuple):
    """Share of studies whose interval held the truth, and its mean width."""

    measure: str
    truth: float
    scores: str
    positives: int
    covered: float
    width: float
    covered_by_bootstrap: float
    width_of_bootstrap: float


def main() -> None:
    """Simulate, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for row in chain(sensitivities(options.studies), rankings(options.studies)):
        print(json.dumps(row._asdict()), flush=True)
        found.append(row._asdict())
    if options.json:
        about = {"studies": options.studies, "resamples": RESAMPLES, "level": LEVEL}
        write_json(options.json, {**about, "patients": PATIENTS, "rows": found})


def sensitivities(studies: int) -> Iterator[Coverage]:
    """Measure intervals of sensitivities, by number of positive patients."""
    for most in (1, 4):
        for truth in SENSITIVITIES:
            for positives in POSITIVES:
                generator = np.random.default_rng([positives, most])
                records = np.arange(positives) % most + 1
                drawn = [_sensitivity(truth, records, generator) for _ in range(studies)]
                name = "one recording" if most == 1 else "1 to 4 recordings, half alike"
                yield _coverage("sensitivity", name, positives, truth, drawn)


def _sensitivity(truth: float, records: np.ndarray, generator: np.random.Generator) -> Pair:
    found = _found(truth, records, generator)
    names = [*map(str, np.repeat(np.arange(len(records)), records))]
    return proportion_interval(found, names), _resampled_share(found, records, generator)


def rankings(studies: int) -> Iterator[Coverage]:
    """Measure intervals of AUROC and of average precision, by number of positive patients."""
    for scores in ("normal", "missed"):
        for truth in AUROCS:
            for positives in POSITIVES:
                generator = np.random.default_rng([positives, round(100 * truth)])
                precision = _average_precision(truth, positives, scores)
                yield from _ranking(truth, precision, scores, positives, generator, studies)


def _ranking(
    truth: float,
    precision: float,
    scores: str,
    positives: int,
    generator: np.random.Generator,
    studies: int,
) -> list[Coverage]:
    positive = np.arange(PATIENTS) < positives
    strata = stratify_patients(positive[:, None], [*map(str, range(PATIENTS))])
    patients = effective_patients(positive, strata.patient)

    def study() -> list[Pair]:
        score = _scores(truth, positive, scores, generator)[:, None]
        draws = resample_statistics(
            {"m": lambda w: np.hstack(weighted_class_scores(positive[:, None], score, w))},
            positive[:, None],
            strata,
            classes=["c"],
            resamples=RESAMPLES,
            generator=generator,
        ).values["m"]
        plain = [shortfall_interval(draws[:, i], level=LEVEL) for i in (0, 1)]
        return [
            (widened_auroc(plain[0], patients, level=LEVEL), plain[0]),
            (widened_average_precision(plain[1], patients, level=LEVEL), plain[1]),
        ]

    drawn = [study() for _ in range(studies)]
    return [
        _coverage(measure, scores, positives, value, [pairs[i] for pairs in drawn])
        for i, (measure, value) in enumerate((("auroc", truth), ("average precision", precision)))
    ]


def _coverage(
    measure: str, scores: str, positives: int, truth: float, pairs: list[Pair]
) -> Coverage:
    numbers: list[float] = []
    for own in zip(*pairs, strict=True):
        ends = np.array([interval[1:] for interval in own])
        held = (ends[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= ends[:, 1])
        numbers += [round(float(held.mean()), 3), round(float(np.ptp(ends, axis=1).mean()), 3)]
    return Coverage(measure, round(truth, 3), scores, positives, *numbers)


def _found(truth: float, records: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw which recordings are found, those of a patient as alike as ALIKE says."""
    spread = 1 / ALIKE - 1
    own = generator.beta(truth * spread, (1 - truth) * spread, len(records))
    chance = np.repeat(own, records) if records.max() > 1 else np.full(len(records), truth)
    return generator.random(records.sum()) < chance


def _resampled_share(
    found: np.ndarray, records: np.ndarray, generator: np.random.Generator
) -> Interval:
    number = np.repeat(np.arange(len(records)), records)
    successes = np.bincount(number, weights=found, minlength=len(records))
    even = np.full(len(records), 1 / len(records))
    weights = np.vstack(
        [np.ones(len(records)), generator.multinomial(len(records), even, RESAMPLES)]
    )
    return shortfall_interval((weights @ successes) / (weights @ records), level=LEVEL)


def _scores(
    truth: float, positive: np.ndarray, kind: str, generator: np.random.Generator
) -> np.ndarray:
    noise = generator.normal(size=len(positive))
    if kind == "normal":
        return noise + positive * np.sqrt(2) * norm.ppf(truth)
    seen = generator.random(len(positive)) >= 2 * (1 - truth)
    return noise + 20.0 * (positive & seen)


def _average_precision(truth: float, positives: int, kind: str) -> float:
    """Return that of all there are, at the share of positives of the study."""
    share = positives / PATIENTS
    cut = np.linspace(30, -9, 200_001)
    false = norm.sf(cut)
    if kind == "normal":
        recall = norm.sf(cut - np.sqrt(2) * norm.ppf(truth))
    else:
        missed = 2 * (1 - truth)
        recall = missed * false + (1 - missed) * norm.sf(cut - 20)
    called = share * recall + (1 - share) * false
    precision = np.divide(share * recall, called, out=np.ones_like(called), where=called > 0)
    return float(np.trapezoid(precision, recall))


if __name__ == "__main__":
    main()
