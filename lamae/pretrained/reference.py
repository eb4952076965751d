"""Recordings among which others are looked for: the most similar ones, and how unlike all are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lamae.errors import InputError

_ROWS_AT_ONCE = 1024


class Neighbour(NamedTuple):
    """A recording of the reference."""

    row: int
    """Its place in the reference."""
    similarity: float
    """Cosine between its embedding and the one that was looked for."""


class Reference:
    """Embeddings of some recordings, compared by their cosines."""

    def __init__(
        self,
        embeddings: Float[np.ndarray, "recordings width"],
        *,
        patients: Sequence[str] | None = None,
    ) -> None:
        """Take embeddings, of two recordings at least.

        Args:
            embeddings: of any length.
            patients: of each, or an empty text; two of one patient are not compared.
        """
        if len(embeddings) < 2:
            raise InputError(
                "reference",
                value=f"{len(embeddings)} recordings",
                expected="at least two",
                remedy="Give more recordings.",
            )
        self.embeddings = unit_vectors(embeddings)
        self.nearest = np.sort(_nearest(self.embeddings, patients))

    def find(self, embedding: Float[np.ndarray, " width"], *, count: int) -> list[Neighbour]:
        """Return the most similar recordings, the nearest first."""
        cosines = self._cosines(embedding)
        order = np.argsort(-cosines, kind="stable")[:count]
        return [Neighbour(row, float(cosines[row])) for row in order.tolist()]

    def percentile(self, embedding: Float[np.ndarray, " width"]) -> float:
        """Return the share, in percent, of the reference that is nearer to its own nearest.

        100 is unlike every recording of the reference, more than any of these is unlike the others.
        """
        closest = float(self._cosines(embedding).max())
        return 100 * float(1 - np.searchsorted(self.nearest, closest) / len(self.nearest))

    def _cosines(self, embedding: np.ndarray) -> np.ndarray:
        if embedding.shape != (width := self.embeddings.shape[1],):
            raise InputError(
                "embedding",
                value=f"{embedding.shape} numbers",
                expected=f"{width}, as in the reference",
                remedy="Embed both by one model, with one pooling.",
            )
        return self.embeddings @ unit_vectors(embedding)


def unit_vectors(vectors: Float[np.ndarray, "*n width"]) -> Float[np.ndarray, "*n width"]:
    """Return vectors of length one; of zeros, zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _nearest(embeddings: np.ndarray, patients: Sequence[str] | None) -> np.ndarray:
    """Return the cosine of each to the nearest of another patient, or to the nearest other one."""
    known = patients or [""] * len(embeddings)
    names = np.array([name or f"\0{row}" for row, name in enumerate(known)])
    found = []
    for first in range(0, len(embeddings), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        cosines = embeddings[some] @ embeddings.T
        cosines[names[some, None] == names] = -1.0
        found.append(cosines.max(axis=1))
    return np.concatenate(found)
