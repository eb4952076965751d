"""Prediction: a saved classifier on any shards, with or without labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from finetune.classifiers.folder import load_classifier
from finetune.classifiers.scoring import called_positive, score_recordings
from finetune.classifiers.settings import PredictSettings
from finetune.data.windows import loader_options
from finetune.overwriting import check_output
from finetune.processes import start
from lamae.batches.dataset import Split
from lamae.files import write_csv
from lamae.storage.corpus import Corpus

PREDICTIONS = "predictions.csv"
"""File of a run with its classifier's predictions for the evaluation split."""


def predict(settings: PredictSettings) -> list[str]:
    """Score the recordings, write the file, and return on the main process what was done."""
    check_output(settings.output, overwrite=settings.overwrite, holds="another prediction")
    classifier, thresholds, about = load_classifier(settings.classifier)
    accelerator = start(
        settings, precision=settings.precision or str(about["settings"]["precision"])
    )
    architecture = classifier.architecture
    corpus = Corpus(settings.data)
    rows = corpus.rows_of(settings.splits)
    least = settings.min_leads or about["settings"]["min_leads"]
    settings = settings.model_copy(update={"min_leads": least})
    scored = score_recordings(
        classifier,
        Split(corpus, rows, architecture.preprocess),
        loader_options(architecture.preprocess, settings),
        accelerator=accelerator,
        name="predict",
    )
    if not accelerator.is_main_process:
        return []
    cut = np.array([thresholds.get(name, np.inf) for name in architecture.classes])
    write_predictions(
        settings.output,
        architecture.classes,
        corpus.keys[rows[scored.positions]].tolist(),
        scored.probabilities,
        called=called_positive(scored.probabilities, cut, multi_label=architecture.multi_label),
        problems=scored.unusable,
    )
    told = f"{len(scored.positions)} recordings scored, {len(scored.unusable)} unusable"
    return [f"{told}: {settings.output}"]


def write_predictions(
    path: Path,
    classes: Sequence[str],
    keys: Sequence[str],
    probabilities: np.ndarray,
    *,
    called: np.ndarray,
    problems: dict[str, str],
    labels: np.ndarray | None = None,
) -> None:
    """Write one line for each recording: its probabilities and classes, or why it has none.

    Several classes are joined by `|`. `labels`, bool (recordings, classes), are written where they
    are known.
    """

    def joined(row: Bool[np.ndarray, " classes"]) -> str:
        return "|".join(name for name, has in zip(classes, row, strict=True) if has)

    known = [] if labels is None else ["labels"]
    rows: list[Sequence[object]] = []
    for number, key in enumerate(keys):
        truth = [] if labels is None else [joined(labels[number])]
        values = probabilities[number].tolist()
        rows.append([key, *values, joined(called[number]), *truth, ""])
    empty = [""] * (len(classes) + 1 + len(known))
    rows += [[key, *empty, problem] for key, problem in problems.items()]
    write_csv(path, ["key", *classes, "called", *known, "problem"], rows)
