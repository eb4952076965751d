"""Counts of positive and negative records at or above each score."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped


class RankedCounts(NamedTuple):
    """Weighted numbers of records at or above each distinct score, from the highest score down."""

    score: Float[np.ndarray, " thresholds"]
    """The distinct scores, falling."""
    positive: Float[np.ndarray, "resamples thresholds"]
    """Positive records at or above each: true positives."""
    negative: Float[np.ndarray, "resamples thresholds"]
    """Negative records at or above each: false positives."""

    def from_none(self) -> "RankedCounts":
        """Return the counts that begin with no record, above an infinite score."""
        none = np.zeros((len(self.positive), 1))
        return RankedCounts(
            np.append(np.inf, self.score),
            np.hstack([none, self.positive]),
            np.hstack([none, self.negative]),
        )


def ranked_counts(
    positive: Bool[np.ndarray, " records"],
    score: Shaped[np.ndarray, " records"],
    weights: Shaped[np.ndarray, "resamples records"] | None = None,
) -> RankedCounts:
    """Count records by rank, all once or as often as each resample has drawn them.

    Records of equal score are counted together.
    """
    if weights is None:
        weights = np.ones((1, len(score)))
    order = np.argsort(score)[::-1]
    ranked = score[order].astype(np.float64)
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    drawn = weights[:, order].astype(np.float64)
    everyone = np.cumsum(drawn, axis=1)[:, ends]
    true_positives = np.cumsum(drawn * positive[order], axis=1)[:, ends]
    return RankedCounts(ranked[ends], true_positives, everyone - true_positives)
