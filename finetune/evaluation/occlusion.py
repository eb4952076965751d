"""Parts of single recordings that a classifier rests on, and a test whether that means something.

Occlusion (Zeiler, Fergus, ECCV 2014): a part of a lead is replaced by a line between its ends, and
how much the log-odds of a class fall is what the classifier loses without it. The deletion test
(Samek et al., TNNLS 2017) replaces the parts that are said to matter most at once, and compares
the fall with that of as many parts drawn by chance: were it no larger, the parts meant nothing.
A heart beats often and leads overlap, so that one part may be replaced by others; and a line is
nothing that a classifier was trained on.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import logsumexp
from scipy.stats import t as student
from tqdm import tqdm

from finetune.classifiers.classifier import Classifier
from finetune.experiment.candidate_results import ExperimentResults
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Batch, Split
from lamae.ecg.preprocess import Prepared
from lamae.ecg.signals import interpolate_missing
from lamae.statistics.interval import Interval
from lamae.storage.corpus import Corpus

PART_S = 0.5
"""Length of a part in seconds."""
DELETED = 0.1
"""Share of the parts that the deletion test replaces."""
RANDOM_DRAWS = 10
"""Draws of random parts, whose mean fall is compared."""
MOST_CLASSES = 6
"""Classes that are looked at, the most frequent."""
LEVEL = 0.95
"""Probability with which an interval is meant to cover."""


class Occluded(NamedTuple):
    """Parts of one recording, and what a class loses without them."""

    record: int
    """Position of the recording among those that were evaluated."""
    column: int
    """Of the class."""
    fall: Float[np.ndarray, "leads parts"]
    """Fall of the log-odds without each part; NaN where nothing was recorded."""
    deleted: float
    """Fall of the log-odds without the parts of the largest falls, all at once."""
    random: float
    """Mean fall without as many parts drawn by chance."""


class DeletionTest(NamedTuple):
    """The deletion test of a class, over recordings of different patients."""

    records: int
    """Recordings."""
    deleted: Interval
    """Mean fall of the log-odds without the parts that matter most."""
    random: Interval
    """Mean fall without as many random parts."""
    difference: Interval
    """Mean of the paired differences, with Student's interval."""


def choose_recordings(
    labels: Bool[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    most: int,
    generator: np.random.Generator,
) -> list[tuple[int, int]]:
    """Draw recordings that have a class and are called it, one of a patient; by class.

    Returns pairs of record and column, of the `MOST_CLASSES` most frequent classes.
    """
    chosen = []
    for column in np.argsort(-labels.sum(axis=0), kind="stable")[:MOST_CLASSES]:
        found = generator.permutation(np.flatnonzero(labels[:, column] & called[:, column]))
        first = {patients[record]: int(record) for record in reversed(found.tolist())}
        ordered = [record for record in found.tolist() if first[patients[record]] == record]
        chosen += [(record, int(column)) for record in ordered[:most]]
    return chosen


def occlude(
    classifier: Classifier,
    prepared: Prepared,
    *,
    column: int,
    device: torch.device,
    generator: np.random.Generator,
    batch_size: int = 64,
) -> tuple[Float[np.ndarray, "leads parts"], float, float]:
    """Return the fall without each part, without those that matter most, and without random ones.

    The falls are of the log-odds of the class of `column`, for one prepared recording. The
    classifier is on `device`, in evaluation mode.
    """
    rate = classifier.architecture.preprocess.sampling_rate
    leads, samples = prepared.signal.shape
    width = round(PART_S * rate)
    parts = -(-samples // width)
    begins = np.arange(parts) * width
    recorded = prepared.present[:, None] & (begins < prepared.samples)
    places = np.argwhere(recorded)

    def masks(sets: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        for chosen in sets:
            mask = np.zeros((leads, parts), dtype=bool)
            mask[tuple(chosen.T)] = True
            yield np.repeat(mask, width, axis=1)[:, :samples]

    def log_odds(sets: Sequence[np.ndarray]) -> np.ndarray:
        signals = [replaced(prepared.signal, mask) for mask in masks(sets)]
        return _log_odds(classifier, prepared, signals, column, device, batch_size)

    whole, *each = log_odds([places[:0], *places[:, None]])
    fall = np.full((leads, parts), np.nan)
    fall[tuple(places.T)] = whole - np.array(each)
    number = max(1, round(DELETED * len(places)))
    largest = places[np.argsort(-fall[tuple(places.T)], kind="stable")[:number]]
    drawn = [
        places[generator.choice(len(places), number, replace=False)] for _ in range(RANDOM_DRAWS)
    ]
    without, *by_chance = log_odds([largest, *drawn])
    return fall, float(whole - without), float(whole - np.mean(by_chance))


def replaced(
    signal: Float[np.ndarray, "leads samples"], mask: Bool[np.ndarray, "leads samples"]
) -> Float[np.ndarray, "leads samples"]:
    """Replace what is masked by a line between its ends; zeros where all of a lead is masked."""
    if not mask.any():
        return signal
    found = np.where(mask, np.nan, signal)
    found[mask.all(axis=1)] = 0.0
    return interpolate_missing(found).astype(signal.dtype)


def find_evidence(
    results: ExperimentResults,
    corpus: Corpus,
    called: Bool[np.ndarray, "records classes"],
    settings: FinetuneSettings,
    device: torch.device,
) -> list[Occluded]:
    """Ask the classifier in question of `settings.occlusion` recordings of each class."""
    part = results.task.evaluation
    classifier = next(iter(results.by_candidate.values())).classifier
    assert classifier is not None, "every result of a comparison has its classifier"
    data = Split(corpus, part.rows, classifier.architecture.preprocess)
    generator = np.random.default_rng([settings.seed, 6])
    chosen = choose_recordings(
        part.labels, called, part.patients, most=settings.occlusion, generator=generator
    )
    classifier.model.to(device).eval()
    found = []
    for record, column in tqdm(chosen, desc="hide parts", unit="recording"):
        _, prepared = data.prepared(record)
        fall, deleted, random = occlude(
            classifier,
            prepared,
            column=column,
            device=device,
            generator=generator,
            batch_size=settings.batch_size,
        )
        found.append(Occluded(record, column, fall, deleted, random))
    return found


def deletion_tests(found: Sequence[Occluded]) -> dict[int, DeletionTest]:
    """Return the deletion test of each class, by column."""
    tests = {}
    for column in dict.fromkeys(one.column for one in found):
        own = [one for one in found if one.column == column]
        deleted, random = (
            np.array([getattr(one, n) for one in own]) for n in ("deleted", "random")
        )
        tests[column] = DeletionTest(
            len(own), *map(mean_interval, (deleted, random, deleted - random))
        )
    return tests


def lead_shares(found: Sequence[Occluded], column: int) -> Float[np.ndarray, " leads"]:
    """Return each lead's share of the falls without single parts, over a class's recordings.

    Rises count as no fall; NaN where nothing falls.
    """
    falls = [np.nan_to_num(one.fall).clip(0).sum(axis=1) for one in found if one.column == column]
    total = np.sum(falls, axis=0)
    return total / total.sum() if total.sum() > 0 else np.full(len(total), np.nan)


def mean_interval(values: Float[np.ndarray, " records"]) -> Interval:
    """Return the mean with Student's interval; its ends are not numbers for fewer than two."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, np.nan, np.nan)
    half = student.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(mean, mean - float(half), mean + float(half))


def _log_odds(
    classifier: Classifier,
    prepared: Prepared,
    signals: Sequence[np.ndarray],
    column: int,
    device: torch.device,
    batch_size: int,
) -> np.ndarray:
    present = None if prepared.present.all() else torch.from_numpy(prepared.present)
    found = []
    for start in range(0, len(signals), batch_size):
        some = torch.from_numpy(np.stack(signals[start : start + batch_size]))
        batch = Batch(
            some,
            None if present is None else present.expand(len(some), -1),
            ("",) * len(some),
            None
            if prepared.samples == some.shape[-1]
            else torch.full((len(some),), prepared.samples),
        )
        with torch.inference_mode():
            found.append(classifier.outputs(batch, device).logits.float().cpu().numpy())
    logits = np.concatenate(found).astype(np.float64)
    if classifier.architecture.multi_label:
        return logits[:, column]
    others = np.delete(logits, column, axis=1)
    return logits[:, column] - logsumexp(others, axis=1)
