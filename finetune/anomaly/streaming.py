"""A detector that takes samples as they come, and scores each window once it is full.

A window is prepared by itself, because nothing behind it is known yet: its scores are those of the
same stretch as a recording of its own and, without a band filter, of the whole recording offline.
"""

from typing import NamedTuple

import numpy as np
import torch

from finetune.anomaly.detector.detectors import Detector, deviations
from lamae.batches.dataset import Batch
from lamae.ecg.record import Record
from lamae.edge.stream_windows import StreamWindows
from lamae.errors import RecordError


class WindowScores(NamedTuple):
    """Scores of one window of a stream."""

    start_s: float
    """Start of the window, in seconds since the first sample."""
    scores: dict[str, float] | None
    """Each score of the detector, by its name; None where the window cannot be used."""
    problem: str | None = None
    """Reason for which it cannot be."""


class StreamingDetector:
    """Scores of a stream of samples, one for each full window.

    A deviation shows at the latest when the window that it begins in is full: the algorithmic
    latency is the length of a window, and one score comes every `hop_s`.
    """

    def __init__(self, detector: Detector, header: Record, *, hop_s: float | None = None) -> None:
        """Begin a stream.

        Args:
            detector: in evaluation mode.
            header: leads, rate, gains and baselines of what will come; its samples are no part.
            hop_s: seconds from one window to the next; by default a window.

        Raises InputError for a hop without a sample.
        """
        self._detector = detector
        self.latency_s = detector.architecture.preprocess.duration_s
        """Seconds from the first sample of a window to its score, computing aside."""
        hop_s = self.latency_s if hop_s is None else hop_s
        self._windows = StreamWindows(header, window_s=self.latency_s, hop_s=hop_s)

    def push(self, digital: np.ndarray) -> list[WindowScores]:
        """Take int16 (leads, samples), and return the scores of the windows that they complete.

        Raises InputError for samples of another shape or type.
        """
        windows = self._windows.push(digital)
        return [self._window(window.start_s, window.record) for window in windows]

    def _window(self, start_s: float, record: Record) -> WindowScores:
        try:
            return WindowScores(start_s, self._score(record))
        except RecordError as error:
            return WindowScores(start_s, None, str(error))

    def _score(self, record: Record) -> dict[str, float]:
        architecture = self._detector.architecture
        prepared = architecture.preprocess(record)
        present = None if prepared.present.all() else torch.from_numpy(prepared.present)[None]
        batch = Batch(torch.from_numpy(prepared.signal)[None], present, (record.name,))
        values = deviations(self._detector, batch)[0][0]
        return dict(zip(architecture.scores, values.tolist(), strict=True))
