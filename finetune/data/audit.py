"""Audit of leakage: what is evaluated must not be known from training or from pretraining.

Recordings are compared by the digest of their samples and by their origin, where one is known,
which finds the same recording at another sampling rate. Patients are compared by their ids, in
other shards only where those are of the same kind of source, since ids of two datasets can be
equal by chance. Only the evaluation recordings must be unknown: an encoder may have been
pretrained, without labels, on what a classifier learns from.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finetune.data.settings import AuditSettings, Overlap
from lamae.errors import InputError
from lamae.files import read_json
from lamae.remote.locations import as_location
from lamae.runs.run_folder import STATE, newest_checkpoint
from lamae.runs.tracking import SUMMARY, read_summary
from lamae.storage.corpus import Corpus
from lamae.storage.index import Index

_PRETRAINING_SPLIT = "train"
_HOLDS_FOLDER = 3
"""A model is at most two folders below that of its run: RUN/checkpoints/step-00000100."""


class _Evaluated(NamedTuple):
    """The recordings that are evaluated."""

    corpus: Corpus
    marks: Index
    rows: np.ndarray
    split: str


class _Known(NamedTuple):
    """Recordings and patients of training or of pretraining."""

    patients: set[str] | None
    """None where ids cannot be compared."""
    contents: set[str]
    origins: set[str]


class Shared(NamedTuple):
    """Overlap of the evaluation recordings with those of training or of pretraining."""

    patients: int | None
    """Number of patients; None where their ids cannot be compared."""
    recordings: int
    """Number of evaluation recordings."""
    example: str
    """Key of one of these recordings, or of a recording of such a patient; empty for none."""


def audit_leakage(
    corpus: Corpus,
    train: np.ndarray,
    evaluation: np.ndarray,
    settings: AuditSettings,
    *,
    encoder: Path | None,
    split: str,
) -> dict[str, Any]:
    """Compare the rows that are evaluated with what is known, and return what belongs in a summary.

    `training` and `pretraining` each hold `patients`, `recordings` and `example`, and pretraining
    `data`, the shards; where these are not at hand, `not_audited` says why. `sentences` are for
    the report. Raises InputError for an overlap that `allow_overlap` does not name.

    Args:
        corpus: recordings of both.
        train: rows that are learnt from.
        evaluation: rows that are evaluated.
        settings: the shards of pretraining and what may be shared.
        encoder: the pretrained encoder; None without one.
        split: name of the recordings that are evaluated, for errors.
    """
    part = _Evaluated(corpus, Index(corpus.index_path), evaluation, split)
    known = _known(corpus, train, ids=True)
    training, sentence = _audit_training(part, known, settings)
    return _with_pretraining(part, settings, encoder, training, sentence)


def audit_other_shards(
    corpus: Corpus,
    evaluation: np.ndarray,
    settings: AuditSettings,
    *,
    encoder: Path | None,
    split: str,
    learnt_from: Path | str,
    learnt_split: str,
    digest: str | None,
) -> dict[str, Any]:
    """Do as `audit_leakage` for a model that has learnt from a split of other shards.

    Where these are no longer at hand, or have another digest, the sentences say so.
    """
    part = _Evaluated(corpus, Index(corpus.index_path), evaluation, split)
    try:
        known = _known_in(corpus, (learnt_from,), settings, split=learnt_split, digest=digest)
    except InputError as error:
        training: dict[str, Any] = {"not_audited": str(error)}
        sentence = f"Leakage from training was not audited: {error}"
    else:
        training, sentence = _audit_training(part, known, settings)
        training["data"] = [str(learnt_from)]
    return _with_pretraining(part, settings, encoder, training, sentence)


def _audit_training(
    part: _Evaluated, known: _Known, settings: AuditSettings
) -> tuple[dict[str, Any], str]:
    shared = _shared(part, known)
    _refuse("training", shared, part.split, settings)
    return shared._asdict(), _sentence("the training recordings", shared)


def _with_pretraining(
    part: _Evaluated,
    settings: AuditSettings,
    encoder: Path | None,
    training: dict[str, Any],
    sentence: str,
) -> dict[str, Any]:
    """Add what the encoder has seen, if there is one, and what was allowed."""
    found: dict[str, Any] = {"training": training}
    sentences = [sentence]
    if encoder is not None:
        found["pretraining"], sentence = _audit_pretraining(part, settings, encoder)
        sentences.append(sentence)
    return found | {"allowed": list(settings.allow_overlap), "sentences": sentences}


def check_copies(corpus: Corpus, rows: np.ndarray, fold: np.ndarray) -> None:
    """Raise InputError where the same recording is in two folds."""
    index = Index(corpus.index_path)
    first: dict[str, int] = {}
    for name in ("content", "origin"):
        for place, mark in enumerate(_texts(index, name, rows)):
            other = first.setdefault(f"{name} {mark}", place)
            if mark and fold[other] != fold[place]:
                keys = corpus.keys[rows[[other, place]]]
                raise InputError(
                    f"folds of {corpus.location}",
                    value=f"the same recording in two, as {keys[0]} and as {keys[1]}",
                    expected="each recording once",
                    remedy="Build the shards with duplicates=reject.",
                )


def _audit_pretraining(
    part: _Evaluated, settings: AuditSettings, encoder: Path
) -> tuple[dict[str, Any], str]:
    try:
        known, places = _pretraining(part.corpus, settings, encoder)
    except InputError as error:
        if settings.pretraining_data is not None:
            raise
        return {"not_audited": str(error)}, f"Leakage from pretraining was not audited: {error}"
    shared = _shared(part, known)
    _refuse("pretraining", shared, part.split, settings)
    found = {**shared._asdict(), "data": [str(place) for place in places]}
    return found, _sentence("the recordings of pretraining", shared)


def _pretraining(
    corpus: Corpus, settings: AuditSettings, encoder: Path
) -> tuple[_Known, tuple[Path | str, ...]]:
    """Return what pretraining has seen, and where; raises InputError where that is not at hand."""
    places, digest = settings.pretraining_data, None
    if places is None:
        places, digest = _shards_of_run(encoder)
    return _known_in(corpus, places, settings, split=_PRETRAINING_SPLIT, digest=digest), places


def _known_in(
    corpus: Corpus,
    places: tuple[Path | str, ...],
    settings: AuditSettings,
    *,
    split: str,
    digest: str | None,
) -> _Known:
    """Return what a split of shards holds, with ids that compare to a corpus's.

    Raises InputError where they cannot be read, or are no longer those of `digest`, which of
    several shards names each.
    """
    known = _Known(set(), set(), set())
    for place in places:
        seen = Corpus(place, **settings.caching)
        if digest is not None and seen.digest not in digest:
            raise InputError(
                f"shards {place}",
                value="changed since a model was trained on them",
                expected="the shards that it was trained on",
                remedy="Name those of pretraining in pretraining_data=.",
            )
        same_kind = _kind(seen) == _kind(corpus)
        part = _known(seen, seen.rows(split), ids=same_kind)
        patients = known.patients
        both = None if patients is None or part.patients is None else patients | part.patients
        known = _Known(both, known.contents | part.contents, known.origins | part.origins)
    return known


def _shards_of_run(encoder: Path) -> tuple[tuple[Path | str, ...], str | None]:
    """Return the places of the shards that a run names, and their digest where it holds that."""
    if encoder.is_file():
        raise InputError(
            f"encoder {encoder}",
            value="not trained by LAMAE: on which recordings it was pretrained is unknown",
            expected="recordings of evaluation that it has not seen",
            remedy="Look up what it was trained on; where you have that as shards, name them in "
            "pretraining_data=.",
        )
    below = encoder.resolve()
    for folder in (below, *below.parents)[:_HOLDS_FOLDER]:
        newest = newest_checkpoint(folder)
        if newest is not None:
            state = read_json(newest / STATE)
            return _places(state["settings"]["data"]), state.get("corpus")
        if (folder / SUMMARY).is_file() and "data" in read_summary(folder).get("config", {}):
            return _places(read_summary(folder)["config"]["data"]), None
    raise InputError(
        f"encoder {encoder}",
        value="nothing tells on which shards it was pretrained",
        expected="a run of pretrain/main.py",
        remedy="Name the shards in pretraining_data=.",
    )


def _places(data: Any) -> tuple[Path | str, ...]:
    """Return the places in a saved setting: one, or a list of them or of shares of a mixture."""
    listed = data if isinstance(data, list) else [data]
    return tuple(as_location(each["data"] if isinstance(each, dict) else each) for each in listed)


def _kind(corpus: Corpus) -> tuple[Any, Any]:
    config = corpus.manifest.get("config", {})
    return config.get("source_kind"), config.get("hash_ids")


def _known(corpus: Corpus, rows: np.ndarray, *, ids: bool) -> _Known:
    index = Index(corpus.index_path)
    patients = set(corpus.patients[rows].tolist()) if ids else None
    return _Known(patients, set(_texts(index, "content", rows)), set(_texts(index, "origin", rows)))


def _shared(part: _Evaluated, known: _Known) -> Shared:
    corpus, index, rows, _ = part
    marks = zip(_texts(index, "content", rows), _texts(index, "origin", rows), strict=True)
    again = [
        content in known.contents or (bool(origin) and origin in known.origins)
        for content, origin in marks
    ]
    examples = rows[np.array(again, dtype=bool)]
    patients = None
    if known.patients is not None:
        seen = np.array([patient in known.patients for patient in corpus.patients[rows]], bool)
        patients = len(set(corpus.patients[rows[seen]].tolist()))
        examples = np.concatenate([examples, rows[seen]])
    example = str(corpus.keys[examples[0]]) if len(examples) else ""
    return Shared(patients, sum(again), example)


def _texts(index: Index, name: str, rows: np.ndarray) -> list[str]:
    found: list[str | None] = index.texts(name).take(rows.astype(np.int64)).to_pylist()
    return [text or "" for text in found]


def _refuse(stage: str, shared: Shared, split: str, settings: AuditSettings) -> None:
    numbers = {"patients": shared.patients or 0, "recordings": shared.recordings}
    allowed: set[Overlap] = set(settings.allow_overlap)
    refused = {what: n for what, n in numbers.items() if n and f"{stage}_{what}" not in allowed}
    if refused:
        named = " and ".join(f"{number} {what}" for what, number in refused.items())
        names = ", ".join(f"{stage}_{what}" for what in refused)
        raise InputError(
            f"leakage from {stage} into split {split!r}",
            value=f"{named} in both, e.g. recording {shared.example}",
            expected="nothing in both",
            remedy="Build the shards with known=<the other shards> or another split; to evaluate "
            f"all the same, and have the report say so, allow_overlap=[{names}].",
        )


def _sentence(what: str, shared: Shared) -> str:
    if shared.patients is None:
        told = f"{shared.recordings} recordings; patient ids of other sources are not compared"
    else:
        told = f"{shared.patients} patients and {shared.recordings} recordings"
    return f"Shared between the evaluation recordings and {what}: {told}."
