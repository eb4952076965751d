"""Mahalanobis distance to normal recordings in the space of embeddings, by a shrunken covariance.

Ledoit and Wolf (Journal of Multivariate Analysis 2004): the covariance is drawn towards a multiple
of the identity by the share that minimises the expected squared error.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lamae.errors import InputError


class Shrunken(NamedTuple):
    """A covariance between that of some vectors and a sphere of the same trace."""

    covariance: Float[np.ndarray, "d d"]
    """Positive definite."""
    share: float
    """Share of the sphere in it, 0 to 1."""


class Normals(NamedTuple):
    """Mean and covariance of normal embeddings."""

    centre: Float[np.ndarray, " d"]
    """Their mean."""
    whitening: Float[np.ndarray, "d d"]
    """The length of `(x - centre) @ whitening` is the Mahalanobis distance of x."""


def shrunken_covariance(vectors: Float[np.ndarray, "n d"]) -> Shrunken:
    """Return the covariance with the share of Ledoit and Wolf (2004), lemma 3.2 and theorem 3.2."""
    count, width = vectors.shape
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    sample = centred.T @ centred / count
    scale = np.trace(sample) / width
    sphere = scale * np.eye(width)
    distance = np.square(sample - sphere).sum()
    noise = (np.square(np.square(centred).sum(axis=1)).sum() / count) - np.square(sample).sum()
    share = min(max(noise / count, 0.0) / distance, 1.0) if distance else 1.0
    return Shrunken(share * sphere + (1 - share) * sample, float(share))


def fit_normals(embeddings: Float[np.ndarray, "n d"]) -> Normals:
    """Fit the distance to normal embeddings; raises InputError where they do not vary."""
    covariance = shrunken_covariance(embeddings).covariance
    if len(embeddings) < 2 or not np.trace(covariance) > 0:
        raise InputError(
            "embeddings of normal recordings",
            value=f"{len(embeddings)} without variation",
            expected="at least two different ones",
            remedy="Give more normal recordings.",
        )
    precision = np.linalg.inv(covariance)
    whitening = np.linalg.cholesky(precision)
    return Normals(embeddings.mean(axis=0, dtype=np.float64), whitening)
