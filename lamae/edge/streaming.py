"""A classifier that takes samples as they come; torch is not needed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lamae.ecg.record import Record
from lamae.edge.stream_windows import StreamWindows
from lamae.errors import RecordError


class Moment(NamedTuple):
    """Result for the window that ends at a moment."""

    end_s: float
    """Seconds from the first sample of the stream to the end of the window."""
    probabilities: Mapping[str, float] | None
    """By class; None where the window cannot be used."""
    problem: str | None = None
    """Reason why it cannot be."""


class StreamingClassifier:
    """Predictions for each window of a stream, once its last sample has come.

    A result comes every `hop_s`, the first after `window_s`; the first window that lies behind what
    has happened is full `window_s + hop_s` after it at the latest, plus the time of one
    classification. Each window is filtered and normalised by itself: what is said of it does not
    depend on the pieces, nor on what came before.
    """

    def __init__(
        self,
        classify: Callable[[Record], Mapping[str, float]],
        header: Record,
        *,
        window_s: float,
        hop_s: float,
    ) -> None:
        """Begin a stream.

        Args:
            classify: what says the probabilities of a recording, such as an `OnnxClassifier`.
            header: leads, rate, gains and baselines of what will come; its samples are no part.
            window_s: seconds that are classified at once.
            hop_s: seconds from one window to the next.

        Raises InputError if a window or a hop has no sample.
        """
        self._classify = classify
        self._windows = StreamWindows(header, window_s=window_s, hop_s=hop_s)

    def push(self, digital: np.ndarray) -> list[Moment]:
        """Take int16 (leads, samples), and return a result for each window that they complete.

        Raises InputError for samples of another shape or type.
        """
        return [self._moment(window.end_s, window.record) for window in self._windows.push(digital)]

    def _moment(self, end_s: float, record: Record) -> Moment:
        try:
            return Moment(end_s, self._classify(record))
        except RecordError as error:
            return Moment(end_s, None, str(error))
