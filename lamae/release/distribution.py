"""Embeddings of the recordings that a model learnt from, as a normal distribution.

Probabilistic principal components (Tipping and Bishop, J. R. Stat. Soc. B 61:611, 1999): a mean,
some directions with their variances, and one variance for all others. Nothing in it is of a single
recording but a distance.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from lamae.errors import InputError
from lamae.files import open_whole, unreadable

DISTRIBUTION = "distribution.safetensors"
"""In the folder of a release."""
UNLIKE_PERCENT = 99.0
"""Percentile from which on a recording is called unlike training."""
DIRECTIONS = 64
"""Directions with a variance of their own."""

_FOLDS = 4
_LEAST_SHARE, _LEAST_VARIANCE = 1e-9, 1e-30


class TrainingDistribution(NamedTuple):
    """A normal distribution of embeddings, and how far recordings of it lie from its mean."""

    mean: Float[np.ndarray, " width"]
    """float32."""
    directions: Float[np.ndarray, "directions width"]
    """float16, of length one, at right angles to each other."""
    variances: Float[np.ndarray, " directions"]
    """float32, along each direction."""
    other_variance: Float[np.ndarray, " 1"]
    """float32, along any other direction."""
    distances: Float[np.ndarray, " recordings"]
    """float32, rising: squared Mahalanobis distance of each recording from the others' mean."""

    def distance(self, embeddings: Float[np.ndarray, "n width"]) -> Float[np.ndarray, " n"]:
        """Return squared Mahalanobis distances from the mean.

        Raises InputError for embeddings of another width.
        """
        if embeddings.shape[1] != len(self.mean):
            raise InputError(
                "embedding",
                value=f"{embeddings.shape[1]} numbers",
                expected=f"{len(self.mean)}, as those that the model learnt from",
                remedy="Leave pooling out.",
            )
        centred = embeddings.astype(np.float64) - self.mean
        along = centred @ self.directions.T.astype(np.float64)
        others = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return (along**2 / self.variances).sum(axis=1) + others / float(self.other_variance[0])

    def percentile(self, embedding: Float[np.ndarray, " width"]) -> float:
        """Return the share, in percent, of the recordings that lie nearer than an embedding."""
        (distance,) = self.distance(embedding[None])
        return 100 * float(np.searchsorted(self.distances, distance)) / len(self.distances)


def fit_distribution(
    embeddings: Float[np.ndarray, "recordings width"], *, directions: int = DIRECTIONS
) -> TrainingDistribution:
    """Fit the distribution of embeddings, of recordings of different patients in any order.

    The distance of each is from a distribution of the others: in turn a quarter is left out. Raises
    InputError for fewer than eight.
    """
    if (count := len(embeddings)) < 2 * _FOLDS:
        raise InputError(
            "recordings of the distribution",
            value=count,
            expected=f"at least {2 * _FOLDS} that can be used",
            remedy="Give more recordings, or leave the distribution out.",
        )
    fold, distances = np.arange(count) % _FOLDS, np.empty(count)
    for number in range(_FOLDS):
        own = fold == number
        distances[own] = _fit(embeddings[~own], directions).distance(embeddings[own])
    fitted = _fit(embeddings, directions)
    return fitted._replace(distances=np.sort(distances).astype(np.float32))


def open_distribution(folder: Path) -> TrainingDistribution | None:
    """Open the distribution of a release; None of a folder without.

    Raises InputError for damage.
    """
    path = folder / DISTRIBUTION
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        return TrainingDistribution(**{n: tensors[n] for n in TrainingDistribution._fields})
    except (SafetensorError, OSError, KeyError) as error:
        raise unreadable(path, error, expected="the distribution of embeddings") from None


def write_distribution(folder: Path, distribution: TrainingDistribution) -> None:
    """Write a distribution into the folder of a release."""
    with open_whole(folder / DISTRIBUTION) as file:
        file.write(save(distribution._asdict()))


def _fit(embeddings: np.ndarray, most: int) -> TrainingDistribution:
    count, width = embeddings.shape
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = embeddings.astype(np.float64) - mean
    kept = min(most, (count - 1) // 2, width - 1)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:kept].astype(np.float16)
    along, whole = ((part**2).sum(axis=0) for part in (centred @ directions.T, centred))
    rest = max(whole.sum() - along.sum(), _LEAST_SHARE * whole.sum(), _LEAST_VARIANCE)
    other = rest / (count - 1) / (width - kept)
    return TrainingDistribution(
        mean,
        directions,
        np.maximum(along / (count - 1), other).astype(np.float32),
        np.array([other], dtype=np.float32),
        np.empty(0, dtype=np.float32),
    )
