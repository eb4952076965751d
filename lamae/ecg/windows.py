"""Windows of a recording that is longer than a model sees.

To evaluate, as few windows as cover a recording are laid over it, evenly spaced, the first at its
start and the last at its end. To train, one window is drawn for each recording and epoch.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Windows(NamedTuple):
    """Windows over recordings, all those of a recording in a row."""

    positions: Int[np.ndarray, " windows"]
    """The recording of each."""
    starts: Int[np.ndarray, " windows"]
    """First sample of each, at the preprocessor's rate."""


def covering_windows(
    positions: Int[np.ndarray, " recordings"],
    lengths: Int[np.ndarray, " recordings"],
    *,
    window: int,
) -> Windows:
    """Lay the fewest windows that cover each recording over it, evenly; lengths in samples."""
    counts = np.maximum(-(-lengths // window), 1)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    room = np.repeat(np.maximum(lengths - window, 0), counts)
    starts = number * room // np.repeat(np.maximum(counts - 1, 1), counts)
    return Windows(np.repeat(positions, counts), starts)


def drawn_starts(
    positions: Int[np.ndarray, " b"],
    epochs: Int[np.ndarray, " b"],
    lengths: Int[np.ndarray, " b"],
    *,
    window: int,
    count: int,
    seed: int,
) -> Int[np.ndarray, " b"]:
    """Draw where the window of each recording begins in an epoch, of `count` recordings in all.

    It depends on the seed, the epoch and the recording's position only.
    """
    share = np.empty(len(positions))
    for epoch in np.unique(epochs):
        drawn = np.random.default_rng([seed, int(epoch), 1]).random(count)
        share[epochs == epoch] = drawn[positions[epochs == epoch]]
    return np.floor(share * (np.maximum(lengths - window, 0) + 1)).astype(np.int64)
