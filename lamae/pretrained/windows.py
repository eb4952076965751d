"""Recordings become windows for a network, and its outputs those of recordings again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.errors import InputError
from lamae.pretrained.answers import Outputs, Windows
from lamae.pretrained.cautions import without_flat_leads
from lamae.pretrained.recordings import Recording, single_record


class PreparedRecording(NamedTuple):
    """A recording, ready for a network."""

    recording: Recording
    """The recording."""
    windows: list[Prepared]
    """Windows that cover it: one, or several of a recording that is longer than a window."""


def prepare(recording: Recording, preprocess: Preprocessor) -> PreparedRecording:
    """Cut a recording into windows; raises InputError for one that cannot be read or used."""
    record = without_flat_leads(single_record(recording))
    return PreparedRecording(recording, preprocess.cover(record))


def batches(
    prepared: Iterable[PreparedRecording | InputError], *, windows: int
) -> Iterator[list[PreparedRecording | InputError]]:
    """Yield recordings in their order, together until they have so many windows."""
    waiting: list[PreparedRecording | InputError] = []
    count = 0
    for one in prepared:
        waiting.append(one)
        count += 1 if isinstance(one, InputError) else len(one.windows)
        if count >= windows:
            yield waiting
            waiting, count = [], 0
    if waiting:
        yield waiting


def outputs_of(
    prepared: Sequence[PreparedRecording], compute: Callable[[Windows], Outputs], *, at_once: int
) -> list[Outputs]:
    """Return the outputs for each recording; so many windows are computed at once."""
    if not prepared:
        return []
    windows = [window for one in prepared for window in one.windows]
    parts = [
        compute(stacked(windows[first : first + at_once]))
        for first in range(0, len(windows), at_once)
    ]
    ends = np.cumsum([len(one.windows) for one in prepared])[:-1]
    split = []
    for arrays in zip(*parts, strict=True):
        known = [array for array in arrays if array is not None]
        split.append(np.split(np.concatenate(known), ends) if known else [None] * len(prepared))
    return [Outputs(*each) for each in zip(*split, strict=True)]


def stacked(windows: Sequence[Prepared]) -> Windows:
    """Return windows as a network takes them."""
    return Windows(
        np.stack([window.signal for window in windows]),
        np.stack([window.present for window in windows]),
        np.array([window.samples for window in windows]),
    )
