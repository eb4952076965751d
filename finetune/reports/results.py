"""Results of a run as files: the classifier, predictions, the report."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.classifiers.classifier import Classifier
from finetune.classifiers.folder import CLASSIFIER_FOLDER, save_classifier
from finetune.classifiers.predictions import PREDICTIONS, write_predictions
from finetune.classifiers.scoring import called_positive
from finetune.evaluation.operating_points import exclusive_columns
from finetune.experiment.candidate_results import ExperimentResults
from finetune.experiment.candidates import Candidates
from finetune.reports.page import diagnosis_section, learning_curve_section, write_report
from finetune.reports.reconstruction import draw_reconstruction
from finetune.reports.sections import NamedFigure, Section
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus

_log = logging.getLogger(__name__)


def saver(
    run_dir: Path, settings: FinetuneSettings
) -> Callable[[Classifier, np.ndarray, dict[str, Any]], None]:
    """Return what keeps the best classifier so far in run_dir, so that Ctrl-C does not lose it."""

    def save(classifier: Classifier, thresholds: np.ndarray, facts: dict[str, Any]) -> None:
        classes = classifier.architecture.classes
        save_classifier(
            run_dir / CLASSIFIER_FOLDER,
            classifier,
            thresholds=dict(zip(classes, thresholds.tolist(), strict=True)),
            about={"settings": settings.model_dump(mode="json"), **facts},
        )

    return save


def warn_of_unusable(unusable: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Name what is left out of each split because it cannot be used."""
    for split, reasons in unusable.items():
        for reason, keys in reasons.items():
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            _log.warning("%s split: %d left out, %s: %s", split, len(keys), reason, shown)


def baseline_predictions(name: str) -> str:
    """Return the name of a run's file with a baseline's predictions for the evaluation split."""
    path = Path(PREDICTIONS)
    return f"{path.stem}_{name}{path.suffix}"


def keep_predictions(
    run_dir: Path, corpus: Corpus, results: ExperimentResults, settings: FinetuneSettings
) -> None:
    """Write what the classifier and each baseline say of the recordings of the evaluation split."""
    part = results.task.evaluation
    reasons = results.unusable["evaluation"].items()
    for name, result in results.by_candidate.items():
        is_first = name == next(iter(results.by_candidate))
        write_predictions(
            run_dir / (PREDICTIONS if is_first else baseline_predictions(name)),
            results.task.classes,
            corpus.keys[part.rows].tolist(),
            result.probabilities,
            called=called_positive(
                result.probabilities,
                result.thresholds,
                multi_label=settings.multi_label,
                exclusive=exclusive_columns(results.task.classes, settings.exclusive),
            ),
            problems={key: reason for reason, keys in reasons for key in keys},
            labels=part.labels,
        )


def report(
    run_dir: Path,
    corpus: Corpus,
    results: ExperimentResults,
    candidates: Candidates,
    *,
    settings: FinetuneSettings,
    findings: Sequence[str],
    summary: Mapping[str, Any],
    device: torch.device,
    opening: Sequence[Section] = (),
    sections: Sequence[Section] = (),
) -> None:
    """Write the page: `opening`, the diagnosis, `sections`, and the pretraining where it is."""
    shown = [*opening, diagnosis_section(summary), *sections]
    if candidates.loaded is not None:
        evaluation = Split(corpus, results.task.evaluation.rows, candidates.preprocess)
        picture = draw_reconstruction(
            candidates.loaded, evaluation, seed=settings.seed, device=device
        )
        figure = NamedFigure("reconstruction", picture.figure, picture.caption)
        shown.append(Section("What the encoder infers from the rest", figures=[figure]))
    curve = learning_curve_section(read_metrics(settings.encoder) if settings.encoder else ())
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: {settings.label_set}, {settings.mode}",
        findings=findings,
        summary=summary,
        sections=shown if curve is None else [*shown, curve],
    )
