"""Finished runs as a comparison reads them: predictions for their evaluation recordings."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from finetune.anomaly.evaluation.score_table import SCORES_FILE
from finetune.anomaly.evaluation.threshold_rules import ABNORMAL
from finetune.classifiers.predictions import PREDICTIONS
from finetune.cross_validation.results import OUT_OF_FOLD
from finetune.reports.results import baseline_predictions
from lamae.errors import InputError
from lamae.files import read_csv
from lamae.runs.tracking import SUMMARY, read_summary


class Predictions(NamedTuple):
    """Predictions of one model for recordings."""

    keys: tuple[str, ...]
    """Of the recordings."""
    classes: tuple[str, ...]
    """That can be told apart."""
    labels: Bool[np.ndarray, "records classes"]
    """True where a recording has a class."""
    scores: Float[np.ndarray, "repeats records classes"]
    """Higher where a class is likelier; one repeat, but for a cross-validation."""
    fold: Int[np.ndarray, "repeats records"]
    """Fold in which a recording was evaluated; zero where nothing was cross-validated."""

    def only(self, keys: Sequence[str], classes: Sequence[str]) -> "Predictions":
        """Keep some recordings and classes, in the order given."""
        places = {key: place for place, key in enumerate(self.keys)}
        rows = np.array([places[key] for key in keys], dtype=np.int64)
        columns = np.array([self.classes.index(name) for name in classes], dtype=np.int64)
        return Predictions(
            tuple(keys),
            tuple(classes),
            self.labels[rows][:, columns],
            self.scores[:, rows][:, :, columns],
            self.fold[:, rows],
        )


class FinishedRun(NamedTuple):
    """One run and its results."""

    folder: Path
    """Its folder."""
    summary: dict[str, Any]
    """Its summary.json."""
    own: Predictions
    """Predictions of its model."""
    baselines: dict[str, Predictions]
    """Predictions of its baselines, by name."""


def read_run(folder: Path) -> FinishedRun:
    """Read a run of finetune/main.py, of a classifier, a cross-validation or a detector.

    Raises InputError where it is not finished, holds no predictions, or these are damaged.
    """
    if not (folder / SUMMARY).is_file():
        raise InputError(
            f"run {folder}",
            value=f"no {SUMMARY}",
            expected="a finished run of finetune/main.py",
            remedy="Finish it, or leave it out of runs=.",
        )
    try:
        summary = read_summary(folder)
        read = _reader(summary)
        found = read(folder, summary) if read is not None else None
    except (KeyError, ValueError, TypeError, csv.Error, OSError) as error:
        raise InputError(
            f"results of {folder}",
            value=f"cannot be read: {error}",
            expected=f"what the run that wrote {SUMMARY} left",
            remedy="Run it again with overwrite=true.",
        ) from error
    if found is None:
        raise InputError(
            f"run {folder}",
            value="neither a classifier, nor a cross-validation, nor a detector",
            expected="a run that says something of each recording",
            remedy="Name folders of finished runs of finetune/main.py.",
        )
    return found


def _reader(summary: dict[str, Any]) -> Callable[[Path, dict[str, Any]], FinishedRun] | None:
    """Return what reads the results of a run, by what its summary is of."""
    if "folds" in summary["config"]:
        return _read_out_of_fold
    if _candidates(summary):
        return _read_predictions
    return _read_scores if "ranking" in summary else None


def _candidates(summary: dict[str, Any]) -> dict[str, Any]:
    """Return facts on each candidate of a run, by the key of this version or of an earlier one."""
    found: dict[str, Any] = summary.get("candidates") or summary.get("contenders") or {}
    return found


def _read_predictions(folder: Path, summary: dict[str, Any]) -> FinishedRun:
    found = {
        name: _one_evaluation(folder / baseline_predictions(name))
        for name in _candidates(summary)
        if (folder / baseline_predictions(name)).is_file()
    }
    return FinishedRun(folder, summary, _one_evaluation(folder / PREDICTIONS), found)


def _one_evaluation(path: Path) -> Predictions:
    columns, rows = read_csv(path)
    classes = columns[1 : columns.index("called")]
    return _arranged(classes, [row for row in rows if not row["problem"]])


def _read_scores(folder: Path, summary: dict[str, Any]) -> FinishedRun:
    rows = [row for row in read_csv(folder / SCORES_FILE)[1] if not row["problem"]]
    named = [
        {
            "key": row["key"],
            ABNORMAL: row[summary["score"]],
            "labels": ABNORMAL if row[ABNORMAL] == "1" else "",
        }
        for row in rows
    ]
    return FinishedRun(folder, summary, _arranged([ABNORMAL], named), {})


def _read_out_of_fold(folder: Path, summary: dict[str, Any]) -> FinishedRun:
    columns, rows = read_csv(folder / OUT_OF_FOLD)
    classes = columns[columns.index("model") + 1 : columns.index("labels")]
    models: dict[str, dict[int, list[dict[str, str]]]] = {}
    for row in rows:
        models.setdefault(row["model"], {}).setdefault(int(row["repeat"]), []).append(row)
    found = {}
    for model, by_repeat in models.items():
        repeats = [_arranged(classes, by_repeat[number]) for number in sorted(by_repeat)]
        first = repeats[0]
        scores = np.concatenate([repeat.scores for repeat in repeats])
        fold = np.array([[int(row["fold"]) for row in by_repeat[n]] for n in sorted(by_repeat)])
        found[model] = first._replace(scores=scores, fold=fold)
    own = found.pop(summary["model"])
    return FinishedRun(folder, summary, own, found)


def _arranged(classes: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Predictions:
    """Return rows with key, a column for each class, and labels joined by `|`, as one repeat."""
    scores = np.array([[float(row[name]) for name in classes] for row in rows])
    labels = np.array([_has(row["labels"], classes) for row in rows])
    shape = (len(rows), len(classes))
    return Predictions(
        tuple(row["key"] for row in rows),
        tuple(classes),
        labels.reshape(shape).astype(bool),
        scores.reshape(1, *shape),
        np.zeros((1, len(rows)), dtype=np.int64),
    )


def _has(joined: str, classes: Sequence[str]) -> list[bool]:
    """Say which classes are in a list joined by `|`, as a class of equivalent codes is itself."""
    rest, found = f"|{joined}|", set[str]()
    for name in sorted(classes, key=len, reverse=True):
        if f"|{name}|" in rest:
            found.add(name)
            rest = rest.replace(f"|{name}|", "||", 1)
    return [name in found for name in classes]
