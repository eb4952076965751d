"""Scores of recordings as a file, by a detector that was saved."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from finetune.anomaly.detector.folder import load_detector
from finetune.anomaly.detector.recordings import score_recordings
from finetune.anomaly.run_settings import AnomalyScoreSettings
from finetune.data.windows import reading_of
from finetune.overwriting import check_output
from lamae.batches.dataset import Split
from lamae.files import open_whole
from lamae.storage.corpus import Corpus

SCORES_FILE = "scores.csv"
"""Where a run keeps the scores of the evaluation split."""


def score_file(settings: AnomalyScoreSettings, device: torch.device) -> str:
    """Score the recordings, write the file, and return what was done in one sentence."""
    check_output(settings.output, overwrite=settings.overwrite, holds="other scores")
    detector, decision, _ = load_detector(settings.detector)
    corpus = Corpus(settings.data)
    rows = corpus.rows_of(settings.splits)
    found = score_recordings(
        detector.to(device),
        Split(corpus, rows, detector.architecture.preprocess),
        reading_of(detector.architecture.preprocess, settings),
        over=decision.over,
        name="score",
    )
    score = found.column(detector, decision.score)
    write_scores(
        settings.output,
        detector.architecture.scores,
        corpus.keys[rows[found.positions]].tolist(),
        found.scores,
        called=None if decision.threshold is None else score >= decision.threshold,
        problems=found.unusable,
    )
    told = f"{len(found.positions)} recordings scored, {len(found.unusable)} unusable"
    return f"{told}: {settings.output}"


def write_scores(
    path: Path,
    names: Sequence[str],
    keys: Sequence[str],
    scores: Float[np.ndarray, "recordings scores"],
    *,
    called: Bool[np.ndarray, " recordings"] | None,
    problems: dict[str, str],
    abnormal: Bool[np.ndarray, " recordings"] | None = None,
) -> None:
    """Write one line for each recording: its scores and whether it is called abnormal, or why not.

    `abnormal`, what the labels say, is written where it is known. `called` is None, and its column
    empty, without a threshold.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    known = [] if abnormal is None else ["abnormal"]
    writer.writerow(["key", *names, "called", *known, "problem"])
    for number, key in enumerate(keys):
        truth = [] if abnormal is None else [int(abnormal[number])]
        values = scores[number].tolist()
        call = "" if called is None else int(called[number])
        writer.writerow([key, *values, call, *truth, ""])
    for key, problem in problems.items():
        writer.writerow([key, *[""] * (len(names) + 1 + len(known)), problem])
    with open_whole(path) as file:
        file.write(text.getvalue().encode())
