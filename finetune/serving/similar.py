"""The most similar recordings of a reference, by the cosine of their embeddings."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from finetune.serving.answers import Similar, SimilarRecording
from lamae.errors import InputError
from lamae.pretrained.inputs import recordings_of
from lamae.pretrained.pretrained import Pretrained
from lamae.pretrained.reference import Reference
from lamae.storage.corpus import Corpus
from lamae.storage.manifest import is_corpus

NEAREST = 5
"""Recordings that are named."""


class NamedReference(NamedTuple):
    """Recordings among which others are looked for."""

    names: tuple[str, ...]
    """Name of each."""
    labels: tuple[tuple[str, ...], ...]
    """Labels of each."""
    reference: Reference
    """Their embeddings."""

    def find(self, embedding: Float[np.ndarray, " width"]) -> Similar:
        """Return the recordings nearest to an embedding."""
        found = [
            SimilarRecording(
                name=self.names[one.row],
                similarity=one.similarity,
                labels=list(self.labels[one.row]),
            )
            for one in self.reference.find(embedding, count=NEAREST)
        ]
        percentile = self.reference.percentile(embedding)
        return Similar(recordings=found, percentile=percentile, searched=len(self.names))


def open_reference(model: Pretrained, folder: Path, *, max_recordings: int) -> NamedReference:
    """Embed the recordings of a folder or of shards; those that cannot be used are left out.

    Raises InputError where fewer than two can, or the model has no embedding.
    """
    recordings = list(islice(recordings_of(folder).recordings, max_recordings))
    labels = _labels(folder) if is_corpus(folder) else {}
    names, patients, rows = [], [], []
    for recording, answer in zip(recordings, model.answers(recordings, min_leads=1), strict=True):
        if isinstance(answer, InputError):
            continue
        if answer.embedding is None:
            raise InputError(
                f"model {model.name}",
                value="no embedding",
                expected="a model with an encoder, to find similar recordings",
                remedy="Leave reference= out, or serve another model.",
            )
        names.append(recording.name)
        patients.append(recording.patient or "")
        rows.append(answer.embedding)
    if len(rows) < 2:
        raise InputError(
            f"reference {folder}",
            value=f"{len(rows)} of {len(recordings)} recordings can be used",
            expected="a folder or shards with two of them at least",
            remedy="Check reference=.",
        )
    return NamedReference(
        tuple(names),
        tuple(labels.get(name, ()) for name in names),
        Reference(np.stack(rows), patients=patients),
    )


def _labels(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the labels of shards by key, of their first label set."""
    corpus = Corpus(folder)
    if not corpus.label_sets():
        return {}
    of_rows = corpus.labels(corpus.label_sets()[0])
    return {str(key): tuple(each or ()) for key, each in zip(corpus.keys, of_rows, strict=True)}
