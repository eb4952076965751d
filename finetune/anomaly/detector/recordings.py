"""Recordings put to a detector: windows that cover each, and one score made of theirs."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from finetune.anomaly.detector.detectors import Detector, deviations
from finetune.anomaly.settings import Over
from finetune.data.windows import LoaderOptions, read_windows
from lamae.batches.dataset import Split
from lamae.ecg.windows import Windows, covering_windows
from lamae.errors import InputError


class RecordingScores(NamedTuple):
    """Scores of those recordings of a split that could be used."""

    positions: Int[np.ndarray, " recordings"]
    """Their positions in the split, rising."""
    scores: Float[np.ndarray, "recordings scores"]
    """Each score of the detector, over the windows of a recording."""
    unusable: dict[str, str]
    """Reason by key of the others."""

    def column(self, detector: Detector, name: str) -> Float[np.ndarray, " recordings"]:
        """Return one score by its name."""
        names: tuple[str, ...] = detector.architecture.scores
        return self.scores[:, names.index(name)]


class Embedded(NamedTuple):
    """The windows of recordings as an encoder sees them."""

    positions: Int[np.ndarray, " windows"]
    """Positions in the split of the recordings that they are of."""
    values: Float[np.ndarray, "windows d"]
    """One embedding for each."""
    unusable: dict[str, str]
    """Reason by key of the recordings that could not be used."""


def grid_windows(
    positions: Int[np.ndarray, " recordings"],
    lengths: Int[np.ndarray, " recordings"],
    *,
    window: int,
    stride: int,
) -> Windows:
    """Lay windows over recordings at equal distances; a short recording has one, with padding.

    All numbers but positions are samples.
    """
    counts = np.maximum((lengths - window) // stride, 0) + 1
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return Windows(np.repeat(positions, counts), number * stride)


def score_recordings(
    detector: Detector, data: Split, reading: LoaderOptions, *, over: Over, name: str | None = None
) -> RecordingScores:
    """Score all recordings of a split; `name` is for a progress bar.

    The detector is left in the mode that it was in.
    """
    every = np.arange(len(data))
    windows = covering_windows(every, data.lengths(every), window=data.preprocessor.samples)
    found = score_windows(detector, data, windows, reading, name=name)
    if not len(found.positions):
        return found
    recordings, first = np.unique(found.positions, return_index=True)
    if over == "max":
        return found._replace(
            positions=recordings, scores=np.maximum.reduceat(found.scores, first, axis=0)
        )
    counts = np.diff(np.append(first, len(found.positions)))
    sums = np.add.reduceat(found.scores, first, axis=0)
    return found._replace(positions=recordings, scores=sums / counts[:, None])


def score_windows(
    detector: Detector,
    data: Split,
    windows: Windows,
    reading: LoaderOptions,
    *,
    name: str | None = None,
) -> RecordingScores:
    """Score windows of a split, each as a row of its own, in their order."""
    used: list[int] = []
    scores = [np.empty((0, len(detector.architecture.scores)), dtype=np.float64)]
    unusable: dict[str, str] = {}
    was_training = detector.training
    detector.eval()
    try:
        for found in read_windows(data, windows, reading, name=name):
            unusable |= found.unusable
            if found.batch is not None:
                used += found.positions
                scores.append(deviations(detector, found.batch)[0].astype(np.float64))
    finally:
        detector.train(was_training)
    return RecordingScores(np.array(used, dtype=np.int64), np.concatenate(scores), unusable)


def embed_recordings(
    detector: Detector, data: Split, reading: LoaderOptions, *, name: str | None = None
) -> Embedded:
    """Embed the windows of all usable recordings by the encoder of kind lamae.

    Raises InputError where there is none.
    """
    every = np.arange(len(data))
    windows = covering_windows(every, data.lengths(every), window=data.preprocessor.samples)
    used, values, unusable = list[int](), list[np.ndarray](), dict[str, str]()
    for found in read_windows(data, windows, reading, name=name):
        unusable |= found.unusable
        if found.batch is not None:
            used += found.positions
            with torch.inference_mode():
                values.append(detector.embed(found.batch).cpu().numpy())
    if not values:
        reasons = sorted(set(unusable.values()))
        raise InputError(
            "normal recordings",
            value=f"none of {len(data)} can be used: {', '.join(reasons) or 'there is none'}",
            expected="some to learn from",
            remedy="Change normal_class=, label_set=, hold_out= or min_leads=.",
        )
    return Embedded(np.array(used, dtype=np.int64), np.concatenate(values), unusable)
