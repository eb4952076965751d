"""A saved classifier on shards, by one or several processes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from finetune.data.windows import LoaderOptions, average_over_windows, loader_options
from finetune.prediction.pretrained_classifier import PretrainedClassifier
from finetune.prediction.settings import PredictSettings
from finetune.processes import start
from lamae.batches.dataset import Batch, Split
from lamae.ecg.windows import covering_windows
from lamae.errors import RecordError
from lamae.pretrained.answers import Outcome, Outputs
from lamae.pretrained.cautions import of_flags, of_leads, of_length
from lamae.pretrained.opening import from_pretrained
from lamae.storage.corpus import Corpus


class AnsweredShards(NamedTuple):
    """A classifier and its answers."""

    model: PretrainedClassifier
    """The classifier."""
    outcomes: list[Outcome] | None
    """One for each recording, in the order of the index; None on all processes but the main."""


def answer_shards(settings: PredictSettings, place: Path) -> AnsweredShards:
    """Answer all recordings of shards, or those of some splits, by the classifier at a place."""
    model = from_pretrained(place, device="cpu")
    assert isinstance(model, PretrainedClassifier), "the caller knows its kind"
    trained = model.loaded.about["settings"]
    accelerator = start(settings, precision=settings.precision or str(trained["precision"]))
    model.move(accelerator.device)
    corpus = Corpus(settings.source)
    data = Split(corpus, corpus.rows_of(settings.splits), model.preprocess)
    wants_embedding = model.distribution is not None

    def compute(batch: Batch) -> np.ndarray:
        with torch.inference_mode(), accelerator.autocast():
            found = model.outputs_of(batch)
        parts = (found.logits, found.embedding if wants_embedding else None)
        return np.concatenate([part for part in parts if part is not None], axis=1)

    averaged = average_over_windows(
        data,
        compute,
        reading_of(settings, model),
        accelerator=accelerator,
        name="predict",
    )
    if not accelerator.is_main_process:
        return AnsweredShards(model, None)
    values = averaged.values.reshape(len(averaged.positions), -1)
    found = dict(zip(averaged.positions.tolist(), values, strict=True))
    return AnsweredShards(model, _outcomes(model, data, found, averaged.unusable))


def reading_of(settings: PredictSettings, model: PretrainedClassifier) -> LoaderOptions:
    """Return how recordings are read: with as many leads as in the run, if not said otherwise."""
    least = settings.min_leads or model.min_leads
    return loader_options(model.preprocess, settings.model_copy(update={"min_leads": least}))


def _outcomes(
    model: PretrainedClassifier,
    data: Split,
    found: dict[int, np.ndarray],
    unusable: dict[str, str],
) -> list[Outcome]:
    corpus, every = data.corpus, np.arange(len(data))
    flags, present = corpus.flags(), data.present(every)
    samples, rates = corpus.lengths(data.rows)
    windows = covering_windows(every, data.lengths(every), window=model.preprocess.samples)
    counts = np.bincount(windows.positions, minlength=len(data))
    outcomes = []
    for position, row in enumerate(data.rows.tolist()):
        key, patient = str(corpus.keys[row]), str(corpus.patients[row])
        if position not in found:
            outcomes.append(Outcome(key, patient, None, _problem(key, unusable[key])))
            continue
        number, values = int(counts[position]), found[position][None]
        length = int(samples[position]), int(rates[position])
        cautions = (
            *of_leads(model.preprocess.leads, present[position]),
            *of_length(*length, model.preprocess, windows=number),
            *of_flags(flags[row]),
        )
        logits, embedding = np.split(values, [len(model.classes)], axis=1)
        outputs = Outputs(logits, embedding=embedding if embedding.size else None)
        answer = model.answer_of(key, outputs, cautions=cautions, windows=number)
        outcomes.append(Outcome(key, patient, answer))
    return outcomes


def _problem(key: str, reason: str) -> RecordError:
    return RecordError(
        f"recording {key}",
        reason=reason,
        value=reason,
        expected="an undamaged recording with enough leads and samples",
        remedy="Leave it out, or give min_leads= where leads are missing.",
    )
