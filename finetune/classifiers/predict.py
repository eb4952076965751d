"""Prediction: a saved classifier on any shards, with or without labels."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from jaxtyping import Bool

from finetune.classifiers.folder import load_classifier
from finetune.classifiers.scoring import called_positive, score_recordings
from finetune.classifiers.settings import PredictSettings
from finetune.data.windows import reading_of
from finetune.overwriting import check_output
from lamae.batches.dataset import Split
from lamae.files import open_whole
from lamae.storage.corpus import Corpus

PREDICTIONS = "predictions.csv"
"""Where a run keeps what its classifier says of the evaluation split."""


def predict(settings: PredictSettings, accelerator: Accelerator) -> str:
    """Score the recordings, write the file, and return what was done in one sentence."""
    check_output(settings.output, overwrite=settings.overwrite, holds="another prediction")
    classifier, thresholds, about = load_classifier(settings.classifier)
    architecture = classifier.architecture
    corpus = Corpus(settings.data)
    rows = corpus.rows_of(settings.splits)
    least = settings.min_leads or about["settings"]["min_leads"]
    settings = settings.model_copy(update={"min_leads": least})
    scored = score_recordings(
        classifier,
        Split(corpus, rows, architecture.preprocess),
        reading_of(architecture.preprocess, settings),
        accelerator=accelerator,
        name="predict",
    )
    if accelerator.is_main_process:
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
    return f"{told}: {settings.output}"


def precision_of(settings: PredictSettings) -> str:
    """Return the precision to predict with: fp32 or bf16."""
    if settings.precision is not None:
        return settings.precision
    return str(load_classifier(settings.classifier).about["settings"]["precision"])


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

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    known = [] if labels is None else ["labels"]
    writer.writerow(["key", *classes, "called", *known, "problem"])
    for number, key in enumerate(keys):
        truth = [] if labels is None else [joined(labels[number])]
        values = probabilities[number].tolist()
        writer.writerow([key, *values, joined(called[number]), *truth, ""])
    for key, problem in problems.items():
        writer.writerow([key, *[""] * (len(classes) + 1 + len(known)), problem])
    with open_whole(path) as file:
        file.write(text.getvalue().encode())
