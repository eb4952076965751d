"""The verb embed: recordings become vectors in a file, with their names."""

from collections.abc import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from finetune.prediction.outputs import counts_of, told, write_about
from finetune.prediction.request import check_request, open_request
from finetune.prediction.settings import EmbedSettings
from lamae.pretrained.answers import Outcome
from lamae.pretrained.embeddings import Embeddings, write_embeddings
from lamae.pretrained.pretrained import Pretrained
from lamae.pretrained.recordings import Recording


def embed(settings: EmbedSettings) -> list[str]:
    """Write embeddings, and say of how many recordings."""
    check_request(settings)
    model, found = open_request(settings)
    shown = tqdm(found.recordings, "embed", unit=" recordings", disable=found.is_single)
    outcomes = embed_outcomes(model, iter(shown), pooling=settings.pooling)
    counts = counts_of(outcomes)
    if not counts["answered"]:
        assert outcomes[0].error is not None, "there is a recording, and no answer"
        raise outcomes[0].error
    write_embeddings(settings.output, embeddings_of(outcomes))
    write_about(settings, model, counts)
    return [f"{told(counts)}: {settings.output}"]


def embed_outcomes(
    model: Pretrained, recordings: Iterable[Recording], *, pooling: str | None
) -> list[Outcome]:
    """Embed recordings in their order; raises InputError for a model that embeds none."""
    outcomes = list(model.outcomes(recordings, min_leads=1, pooling=pooling))
    if any(outcome.answer and outcome.answer.embedding is None for outcome in outcomes):
        raise model.cannot("embed", "a model with an encoder")
    return outcomes


def embeddings_of(outcomes: Sequence[Outcome]) -> Embeddings:
    """Return the embeddings of recordings, NaN where there is none; one must have some."""
    rows = [(one.recording, one.patient or "", str(one.error or "")) for one in outcomes]
    names, patients, problems = zip(*rows, strict=True)
    found = [outcome.answer.embedding if outcome.answer else None for outcome in outcomes]
    width = next(len(embedding) for embedding in found if embedding is not None)
    nothing = np.full(width, np.nan, dtype=np.float32)
    values = np.stack([nothing if embedding is None else embedding for embedding in found])
    return Embeddings(names, patients, problems, values)
