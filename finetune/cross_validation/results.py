"""Results of a cross-validation as files: out-of-fold predictions, a report, a summary."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.cross_validation.nested import OutOfFold
from finetune.cross_validation.out_of_fold import fold_scores, fold_statistic
from finetune.data.tasks import Cohort
from finetune.evaluation.assessment import merge_measures
from finetune.evaluation.decision_measures import (
    ClassifierPredictions,
    measure_decisions,
    summarise_decisions,
)
from finetune.evaluation.ranking_measures import summarise, with_added
from finetune.reports.assessment_sections import decided_sections
from finetune.reports.findings import sentences
from finetune.reports.page import diagnosis_section, write_report
from finetune.reports.sections import Section
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.files import write_csv, write_json
from lamae.runs.tracking import SUMMARY, run_summary
from lamae.statistics.challenge_metric import ChallengeWeights
from lamae.statistics.metrics import macro
from lamae.statistics.score_intervals import BootstrapScores

OUT_OF_FOLD = "out_of_fold.csv"
"""File of out-of-fold predictions: each recording scored by a model not trained on its patient."""


def write_results(
    cohort: Cohort,
    found: OutOfFold,
    data: Split,
    settings: FinetuneSettings,
    *,
    run_dir: Path,
    challenge: ChallengeWeights | None,
    more: dict[str, Any],
) -> list[str]:
    """Write first out_of_fold.csv, then report.html, last summary.json; return what was found.

    `data` holds the recordings of the cohort, and `more` is added to the summary.
    """
    part = cohort.part
    _write_scores(run_dir / OUT_OF_FOLD, data, cohort, found)  # first: all fits are in it

    def score(some: Mapping[str, np.ndarray]) -> BootstrapScores:
        return fold_scores(
            part.labels,
            some,
            found.fold,
            part.patients,
            classes=cohort.classes,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
            min_patients=settings.min_positive_patients,
        )

    measured = with_added(found.scores, score)
    predictions = {
        name: ClassifierPredictions(own, found.decisions[name])
        for name, own in found.scores.items()
    }
    decided = measure_decisions(
        predictions,
        part.labels,
        part.patients,
        classes=cohort.classes,
        settings=settings,
        challenge=challenge,
    )
    first = next(iter(found.scores))
    summary = run_summary(
        settings,
        seed=settings.seed,
        model=first,
        **merge_measures(summarise(measured), summarise_decisions(decided, cohort.classes)),
        **more,
        counts={
            "records": len(part.rows),
            "patients": measured.patients,
            "unlabelled": part.unlabelled,
            "without_class": part.without_class,
            "several_classes": part.several_classes,
        },
        auroc_macro_by_repeat=_by_repeat(part.labels, found, first),
    )
    repeats, folds = len(found.fold), int(found.fold.max()) + 1
    how = f"{folds} folds of {measured.patients} patients, {repeats} times."
    named = settings.model_copy(update={"eval_split": "out-of-fold"})
    told = [f"Out of fold, {how}", *sentences(summary, named), *more["audit"]["sentences"]]
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: {settings.label_set}, {settings.mode}, cross-validated",
        findings=[*told[1:2], *told[:1], *told[2:]],
        summary=summary,
        sections=_sections(cohort, predictions, data, settings, summary),
    )
    write_json(run_dir / SUMMARY, summary)
    return told


def _sections(
    cohort: Cohort,
    predictions: dict[str, ClassifierPredictions],
    data: Split,
    settings: FinetuneSettings,
    summary: dict[str, Any],
) -> list[Section]:
    """Show the first repeat where recordings are drawn, and the mean over repeats elsewhere."""
    text = [
        "Every fold has a classifier, and so a scale of scores, of its own: AUROC and AUPRC are "
        "means over folds, and no curve of all folds together is drawn. Decisions are at each "
        "fold's own thresholds, chosen on its training patients. Figures of single recordings are "
        "of the first repeat; recordings by decision are counted in all repeats."
    ]
    return [
        diagnosis_section(summary),
        Section("Out of fold", text),
        *decided_sections(predictions, cohort.part.labels, cohort.classes, data, settings, summary),
    ]


def _by_repeat(labels: np.ndarray, found: OutOfFold, model: str) -> list[float]:
    once = np.ones((1, len(labels)), dtype=np.int64)
    repeats = [
        fold_statistic(labels, scores[None], fold[None])(once)
        for scores, fold in zip(found.scores[model], found.fold, strict=True)
    ]
    return [float(macro(np.split(row[0], 2)[0])) for row in repeats]


def _write_scores(path: Path, data: Split, cohort: Cohort, found: OutOfFold) -> None:
    classes, rows = cohort.classes, list[Sequence[object]]()
    keys, labels = data.corpus.keys[data.rows], cohort.part.labels
    for model, scores in found.scores.items():
        for (repeat, place), fold in np.ndenumerate(found.fold):
            truth = "|".join(np.array(classes)[labels[place]].tolist())
            values = scores[repeat, place].tolist()
            rows.append([str(keys[place]), repeat, fold, model, *values, truth])
    write_csv(path, ["key", "repeat", "fold", "model", *classes, "labels"], rows)
