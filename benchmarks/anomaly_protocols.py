"""Windows split at random and a threshold of the test labels, against patients and validation.

.venv/bin/python benchmarks/anomaly_protocols.py SHARDS [--quick] [--json FILE]
The released experiment of VAE-BiLSTM-MHA divides windows, so that those of one recording are on
both sides, and takes the threshold where F1 is highest on the test labels. Here the convolutional
autoencoder learns four of five windows of some normal recordings, and is tested on the fifth of
some of them (windows at random) or on one window of as many recordings of other patients (by
patient), each time beside windows of the same abnormal recordings. Thresholds are chosen where F1
is highest, on the test labels or on as many windows of each kind of validation patients. Intervals
are of the bootstrap over patients.
Full scale takes about seven minutes of one core.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.detector.recordings import score_windows
from finetune.anomaly.detector.training import learn, windows_to_learn
from finetune.anomaly.evaluation.normals import Judged, make_anomaly_task
from finetune.anomaly.run import windows_of_500
from finetune.anomaly.settings import AnomalyTraining, Architecture
from finetune.data.windows import LoaderOptions
from lamae.batches.dataset import Split
from lamae.ecg.windows import Windows
from lamae.statistics.interval import Interval
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.metrics import weighted_class_scores
from lamae.statistics.thresholds import choose_thresholds, f_beta, weighted_confusion
from lamae.storage.corpus import Corpus

MEASURES = ("AUROC", "AUPRC", "F1, threshold of test labels", "F1, threshold of validation")
ARMS = ("windows at random", "by patient")


class Scale(NamedTuple):
    """Size of the experiment."""

    recordings: int
    """Normal recordings to learn from, and of each kind to test and to validate on, at most."""
    steps: int
    """Optimiser steps of 32 windows."""
    resamples: int
    """Bootstrap resamples."""


class Tested(NamedTuple):
    """Windows of a test or of validation, with their scores."""

    abnormal: np.ndarray
    """bool (windows,)"""
    score: np.ndarray
    """float (windows,)"""
    patients: list[str]
    """Patient of each."""


QUICK, FULL = Scale(300, 60, 500), Scale(5000, 3000, 1000)


def main() -> None:
    """Do both arms, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus, scale = Corpus(arguments.shards), QUICK if arguments.quick else FULL
    results = run(corpus, scale)
    print(f"| measure | {' | '.join(ARMS)} |")
    print("|---|---|---|")
    for name in MEASURES:
        cells = [str(Interval(**results["arms"][arm][name])) for arm in ARMS]
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def run(corpus: Corpus, scale: Scale) -> dict[str, Any]:
    """Train one detector on four fifths of the windows of normals, and test it in both ways."""
    task = make_anomaly_task(
        corpus,
        label_set="superclass",
        normal_class="NORM",
        rule="only",
        splits=("train", "val"),
        hold_out=0.15,
        seed=0,
    )
    preprocess = windows_of_500(corpus, corpus.rows("train"))
    generator = np.random.default_rng(0)
    own = some(task.train, scale.recordings, generator)
    data = Split(corpus, own, preprocess, replace_unusable=True)
    training = AnomalyTraining(
        steps=scale.steps, batch_size=32, lr=1e-3, validate_every=max(scale.steps // 4, 1)
    )
    grid = windows_to_learn(data, training)
    kept_out = one_of_each(grid, generator)
    torch.manual_seed(0)
    detector = Detector(Architecture(kind="cae", preprocess=preprocess))
    held_out = Split(corpus, task.validation.normals, preprocess, replace_unusable=True)
    learn(detector, data, held_out, training, seed=0, windows=taken(grid, ~kept_out))

    def score(rows: np.ndarray, *, abnormal: bool, windows: Windows | None = None) -> Tested:
        return scored(detector, corpus, rows, abnormal=abnormal, windows=windows)

    def drawn(part: Judged, *, abnormal: bool) -> Tested:
        rows = part.rows[part.abnormal == abnormal]
        return score(some(rows, number[abnormal], generator), abnormal=abnormal)

    number = same_number(task.evaluation, task.validation, scale.recordings)
    abnormal = drawn(task.evaluation, abnormal=True)
    again = some(np.flatnonzero(kept_out), number[False], generator)
    normals = {
        ARMS[0]: score(own, abnormal=False, windows=taken(grid, again)),
        ARMS[1]: drawn(task.evaluation, abnormal=False),
    }
    validation = join(*(drawn(task.validation, abnormal=kind) for kind in (False, True)))
    arms = {arm: compare(join(normals[arm], abnormal), validation, scale) for arm in ARMS}
    return {
        **scale._asdict(),
        "detector": "cae",
        "torch": torch.__version__,
        "normal_windows": {arm: len(found.score) for arm, found in normals.items()},
        "abnormal_windows": len(abnormal.score),
        "arms": arms,
    }


def same_number(evaluation: Judged, validation: Judged, most: int) -> dict[bool, int]:
    """Return how many recordings, by whether they are abnormal, both parts have, at most `most`.

    AUPRC, F1 and its threshold hang on the prevalence, which is one in all that is compared.
    """
    return {
        kind: min(most, *(int((part.abnormal == kind).sum()) for part in (evaluation, validation)))
        for kind in (False, True)
    }


def some(rows: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw some rows, in their order."""
    return np.sort(generator.permutation(rows)[:number])


def one_of_each(windows: Windows, generator: np.random.Generator) -> np.ndarray:
    """Return True for one window of each recording that has several."""
    order = generator.permutation(len(windows.positions))
    first = np.unique(windows.positions[order], return_index=True)[1]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[first]] = True
    several = np.bincount(windows.positions) > 1
    return chosen & several[windows.positions]


def taken(windows: Windows, kept: np.ndarray) -> Windows:
    """Keep some windows, by True or by number."""
    return Windows(windows.positions[kept], windows.starts[kept])


def scored(
    detector: Detector,
    corpus: Corpus,
    rows: np.ndarray,
    *,
    abnormal: bool,
    windows: Windows | None,
) -> Tested:
    """Score windows of recordings, by default the first of each."""
    if windows is None:
        windows = Windows(np.arange(len(rows)), np.zeros(len(rows), dtype=np.int64))
    preprocess = detector.architecture.preprocess
    reading = LoaderOptions(32, len(preprocess.leads))
    found = score_windows(detector, Split(corpus, rows, preprocess), windows, reading)
    patients = corpus.patients[rows[found.positions]].tolist()
    return Tested(np.full(len(patients), abnormal), found.scores[:, 0], patients)


def join(*parts: Tested) -> Tested:
    """Put windows behind each other."""
    return Tested(
        np.concatenate([part.abnormal for part in parts]),
        np.concatenate([part.score for part in parts]),
        [patient for part in parts for patient in part.patients],
    )


def compare(test: Tested, validation: Tested, scale: Scale) -> dict[str, dict[str, float]]:
    """Return the measures of a test, with thresholds of its own labels and of validation."""
    called = [test.score >= best_f1(chosen) for chosen in (test, validation)]

    def measured(weights: np.ndarray) -> np.ndarray:
        labels = test.abnormal[:, None]
        ranks = weighted_class_scores(labels, test.score[:, None], weights)
        f1 = [f_beta(weighted_confusion(labels, each[:, None], weights)) for each in called]
        return np.concatenate([ranks.auroc, ranks.average_precision, *f1], axis=1)

    found = measure_intervals(
        {"cae": measured},
        test.abnormal[:, None],
        test.patients,
        measures=MEASURES,
        classes=("abnormal",),
        generator=np.random.default_rng(0),
        resamples=scale.resamples,
        lowest=0.0,
        highest=1.0,
    )
    return {name: value._asdict() for name, value in found.models["cae"].items()}


def best_f1(chosen: Tested) -> float:
    """Return the threshold where F1 is highest."""
    found = choose_thresholds(
        chosen.abnormal[:, None], chosen.score[:, None], chosen.patients, classes=("abnormal",)
    )
    return float(found.values[0])


if __name__ == "__main__":
    main()
