"""The verb similar: the recordings of a reference whose embeddings are nearest."""

from collections.abc import Iterator, Sequence

import numpy as np

from finetune.prediction.embed import embed_outcomes, embeddings_of
from finetune.prediction.outputs import counts_of, told, write_about, write_table
from finetune.prediction.request import check_request, open_request
from finetune.prediction.settings import SimilarSettings
from finetune.prediction.terminal import table_lines
from lamae.errors import InputError
from lamae.files import printable
from lamae.pretrained.answers import Outcome
from lamae.pretrained.embeddings import Embeddings, read_embeddings
from lamae.pretrained.inputs import recordings_of
from lamae.pretrained.pretrained import Pretrained
from lamae.pretrained.reference import Reference
from lamae.pretrained.tables import Table

COLUMNS = ("recording", "rank", "similar", "patient", "similarity", "problem")
"""Columns of the table: a row for each recording and similar one, nearest first."""


def similar(settings: SimilarSettings) -> list[str]:
    """Show the recordings most like one; write those of many, and say how many there are."""
    check_request(settings)
    model, found = open_request(settings)
    known = _reference(settings, model)
    reference = Reference(known.values, patients=known.patients)
    outcomes = embed_outcomes(model, found.recordings, pooling=settings.pooling)
    table = _table(outcomes, known, reference, count=settings.count)
    lines: list[str] = []
    if found.is_single:
        if outcomes[0].error:
            raise outcomes[0].error
        lines += _lines(outcomes[0], table, reference, model)
    if settings.output is not None:
        write_table(settings.output, table)
        counts = counts_of(outcomes)
        write_about(settings, model, counts)
        lines.append(f"{told(counts)}: {settings.output}")
    return lines


def _table(
    outcomes: Sequence[Outcome], known: Embeddings, reference: Reference, *, count: int
) -> Table:
    rows: list[tuple[object, ...]] = []
    for outcome in outcomes:
        if (embedding := _embedding(outcome)) is None:
            rows.append((outcome.recording, None, None, None, None, str(outcome.error)))
            continue
        for rank, (row, cosine) in enumerate(reference.find(embedding, count=count), start=1):
            like = (known.names[row], known.patients[row], cosine)
            rows.append((outcome.recording, rank, *like, ""))
    return Table(COLUMNS, rows, {"rank": "Int64"})


def _lines(
    outcome: Outcome, table: Table, reference: Reference, model: Pretrained
) -> Iterator[str]:
    embedding = _embedding(outcome)
    assert embedding is not None, "a problem is an error"
    yield printable(f"{outcome.recording}: {model.kind} {model.name}")
    cells = [(str(row[2]), str(row[3]), f"{row[4]:.4f}") for row in table.rows]
    yield from table_lines(("similar", "patient", "similarity"), cells)
    percentile = reference.percentile(embedding)
    yield f"{percentile:.1f} % of the reference is nearer to its own nearest recording"


def _embedding(outcome: Outcome) -> np.ndarray | None:
    return None if outcome.answer is None else outcome.answer.embedding


def _reference(settings: SimilarSettings, model: Pretrained) -> Embeddings:
    """Read the embeddings of the reference, or compute them; those with a problem are left out."""
    place = settings.reference
    if place.is_dir():
        recordings = recordings_of(place, **settings.how).recordings
        outcomes = embed_outcomes(model, recordings, pooling=settings.pooling)
        answered = [outcome for outcome in outcomes if outcome.answer]
        known = embeddings_of(answered) if answered else None
    else:
        known = read_embeddings(place).usable
    if known is None or not len(known.values):
        raise InputError(
            f"reference {place}",
            value="no recording that can be used",
            expected="recordings, shards, or a file of embed",
            remedy="Check reference=.",
        )
    return known
