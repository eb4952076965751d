"""The distribution of embeddings in a release, of the recordings that its model learnt from."""

from pathlib import Path

import numpy as np

from finetune.releasing.collect import Learnt
from lamae.errors import InputError
from lamae.pretrained.folders import recording_of_row
from lamae.pretrained.pretrained import Pretrained
from lamae.release.distribution import fit_distribution, write_distribution
from lamae.storage.corpus import Corpus

_SEED = 0


def add_distribution(folder: Path, model: Pretrained, learnt: Learnt, *, patients: int) -> None:
    """Write the distribution into a release, of one recording of each of so many patients.

    Raises InputError where the shards are not there or not those of the run, or hold too few
    recordings.
    """
    corpus = _opened(learnt)
    rows = np.random.default_rng(_SEED).permutation(corpus.rows(learnt.split))
    _, first = np.unique(corpus.patients[rows], return_index=True)
    chosen = rows[np.sort(first)[:patients]].tolist()
    answers = model.answers(recording_of_row(corpus, row) for row in chosen)
    embeddings = [one.embedding for one in answers if not isinstance(one, InputError)]
    write_distribution(folder, fit_distribution(np.array(embeddings)))


def _opened(learnt: Learnt) -> Corpus:
    remedy = "Give data=<shards>, or distribution_patients=0 for a release without."
    if not learnt.data.is_dir():
        raise InputError(
            f"shards {learnt.data}",
            value="no such folder",
            expected="those that the model was trained on, for the distribution of its release",
            remedy=remedy,
        )
    corpus = Corpus(learnt.data)
    if learnt.digest not in (None, corpus.digest):
        raise InputError(
            f"shards {learnt.data}",
            value=f"digest {corpus.digest}",
            expected=f"{learnt.digest}, of the shards that the model was trained on",
            remedy=remedy,
        )
    return corpus
