"""Finished runs on common ground: the recordings and classes that all of them have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from finetune.comparison.finished_runs import FinishedRun, Predictions
from finetune.cross_validation.out_of_fold import fold_scores
from finetune.reports.page import SHOWN_AS
from lamae.errors import InputError
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores
from lamae.storage.corpus import Corpus

_NAMED = 3


class Common(NamedTuple):
    """Predictions of all models for the same recordings."""

    keys: tuple[str, ...]
    """Of the recordings, in the order of the first run."""
    classes: tuple[str, ...]
    """In the order of the first run."""
    labels: Bool[np.ndarray, "records classes"]
    """True where a recording has a class."""
    models: dict[str, list[Predictions]]
    """By name, one for each seed, all of these recordings and classes."""
    left_out: dict[str, int]
    """By name of a run, its recordings that are not common to all."""
    classes_left_out: tuple[str, ...]
    """Classes that some runs do not have."""

    @property
    def is_cross_validated(self) -> bool:
        """True where predictions are out of fold."""
        return any(found.fold.any() for runs in self.models.values() for found in runs)


def align(arms: Mapping[str, Sequence[FinishedRun]], *, with_baselines: Sequence[str]) -> Common:
    """Restrict runs to what they have in common.

    The baselines of some runs, given by name, stand behind all runs; see `baseline_of`.
    Raises InputError where nothing is common, labels of one recording differ, or a run is called
    as a baseline is.
    """
    models = {name: [run.own for run in runs] for name, runs in arms.items()}
    for arm in with_baselines:
        for name in arms[arm][0].baselines:
            if all(name in run.baselines for run in arms[arm]):
                called = baseline_of(arm, name, arms)
                _check_name(called, models)
                models[called] = [run.baselines[name] for run in arms[arm]]
    every = [found for runs in models.values() for found in runs]
    keys = _in_all([found.keys for found in every], "evaluation recordings of the runs")
    classes = _in_all([found.classes for found in every], "classes of the runs")
    common = {n: [found.only(keys, classes) for found in runs] for n, runs in models.items()}
    labels = common[next(iter(common))][0].labels
    for name, runs in common.items():
        for found in runs:
            _check_labels(name, found, labels)
    return Common(
        keys,
        classes,
        labels,
        common,
        {name: max(len(run.own.keys) for run in runs) - len(keys) for name, runs in arms.items()},
        tuple(sorted({name for found in every for name in found.classes} - set(classes))),
    )


def baseline_of(arm: str, name: str, arms: Iterable[str]) -> str:
    """Return what the baseline of a run is called among the models of a comparison."""
    shown = SHOWN_AS.get(name, name)
    return shown if arm == next(iter(arms)) else f"{shown} of {arm}"


def patients_of(corpus: Corpus, keys: Sequence[str]) -> list[str]:
    """Return the patient of each recording; raises InputError where the shards lack one."""
    rows = {key: row for row, key in enumerate(corpus.keys.tolist())}
    lacking = [key for key in keys if key not in rows]
    if lacking:
        raise InputError(
            f"shards {corpus.location}",
            value=f"{len(lacking)} evaluated recordings are not in them: {_some(lacking)}",
            expected="the recordings that the runs evaluated",
            remedy="Name their shards with data=.",
        )
    found: list[str] = corpus.patients[[rows[key] for key in keys]].tolist()
    return found


def measure_models(
    common: Common, patients: Sequence[str], *, resamples: int, seed: int
) -> BootstrapScores:
    """Score all models on the same resamples of patients; several seeds give their mean.

    Raises InputError where cross-validations differ in their folds, or are compared with others.
    """
    generator = np.random.default_rng([seed, 1])
    scores = {n: np.concatenate([f.scores for f in runs]) for n, runs in common.models.items()}
    options: dict[str, Any] = {
        "classes": common.classes,
        "generator": generator,
        "resamples": resamples,
    }
    if not common.is_cross_validated:
        return bootstrap_scores(common.labels, scores, patients, **options)
    fold = next(iter(common.models.values()))[0].fold
    for name, runs in common.models.items():
        if len(runs) > 1 or not np.array_equal(runs[0].fold, fold):
            raise InputError(
                f"cross-validation {name}",
                value="other folds, or several seeds",
                expected="the folds of the first run: recordings of one fold are ranked by one fit",
                remedy="Give all the same seed, folds, repeats, splits and min_leads.",
            )
    return fold_scores(common.labels, scores, fold, patients, **options)


def _check_name(baseline: str, models: Iterable[str]) -> None:
    if baseline in models:
        raise InputError(
            f"run {baseline!r}",
            value="called as a baseline of another run is",
            expected="a name of its own",
            remedy="Name the runs, runs={NAME: FOLDER, ...}.",
        )


def _in_all(named: Sequence[tuple[str, ...]], what: str) -> tuple[str, ...]:
    common = set(named[0]).intersection(*named)
    if not common:
        raise InputError(
            what,
            value=f"none in common; the first has {_some(named[0])}",
            expected="some that all runs have",
            remedy="Compare runs of one task on one evaluation split.",
        )
    return tuple(name for name in named[0] if name in common)


def _check_labels(name: str, found: Predictions, labels: np.ndarray) -> None:
    differing = np.flatnonzero((found.labels != labels).any(axis=1))
    if len(differing):
        raise InputError(
            f"run {name}",
            value=f"other labels than the first for {_some([found.keys[i] for i in differing])}",
            expected="the same labels of each recording in all runs",
            remedy="Compare runs of one label set.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
