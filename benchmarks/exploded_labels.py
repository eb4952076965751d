"""The effect of exploded labels on a result: rows of one recording on both sides of a split.

.venv/bin/python benchmarks/exploded_labels.py SHARDS [--recordings 4000] [--epochs 6] [--json FILE]
The released experiment of CNN-Attention-BiLSTM makes one row of each label of a recording, trains
on rows with a softmax, and divides rows, not patients, 75/15/10. Three arms, the same network,
recordings of the training split and number of epochs:
- as released: rows divided at random within each label;
- by patient: the same rows, divided by patient, so that the leak alone is taken away;
- repaired: each recording once, with all its labels and a sigmoid for each, divided by patient.
Each is tested on its own tenth: macro AUROC, and macro F1 of the likeliest class, or with
thresholds chosen on the fifteen hundredths. The first two are also tested apart on rows whose
recording is, and is not, among those that were learnt from; `called_by_other_label` is how often a
row of a recording with several labels is called by one of its other labels.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator

from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.scoring import score_recordings
from finetune.data.tasks import LabelledRows, make_task
from finetune.data.windows import LoaderOptions
from finetune.settings import FinetuneSettings
from finetune.training.fine_tuning import Training, TrainingData
from finetune.training.settings import TrainingSettings
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.statistics.interval import symmetric_interval
from lamae.statistics.measure_intervals import measure_intervals
from lamae.statistics.score_intervals import bootstrap_scores
from lamae.statistics.thresholds import choose_thresholds, decide, f_beta, weighted_confusion
from lamae.storage.corpus import Corpus

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
SHARES = (0.75, 0.15)
PREPROCESS = Preprocessor(leads="12", sampling_rate=100, band_hz=None)
RESAMPLES = 1000
ARMS = ("as released", "by patient", "repaired")


class Rows(NamedTuple):
    """Training or test set: recordings, or rows of them with one label each."""

    recordings: np.ndarray
    """(rows,): the row of each in the corpus."""
    labels: np.ndarray
    """bool (rows, classes)."""
    patients: np.ndarray
    """(rows,): who it is from."""
    part: np.ndarray
    """(rows,): 0 to learn from, 1 to choose on, 2 to test."""

    def of(self, part: int) -> "Rows":
        """Return the rows of a part."""
        return Rows(*(field[self.part == part] for field in self))


def main() -> None:
    """Train and test the three arms, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("--recordings", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus, seed = Corpus(arguments.shards), arguments.seed
    settings = FinetuneSettings(
        data=arguments.shards,
        mode="cnn_attention_bilstm",
        classes=CLASSES,
        require_class=True,
        preprocess=PREPROCESS,
        training=TrainingSettings(epochs=arguments.epochs, lr=2e-3, patience=arguments.epochs),
        seed=seed,
    )
    whole = some_of(make_task(corpus, settings).train, arguments.recordings, seed)
    results: dict[str, Any] = {
        "device": "CPU, one thread",
        "load_at_start": os.getloadavg()[0],
        "torch": torch.__version__,
        **{name: vars(arguments)[name] for name in ("recordings", "epochs", "seed")},
        "with_several_labels": int((whole.labels.sum(axis=1) > 1).sum()),
    }
    for arm in ARMS:
        rows = divide(whole, arm, np.random.default_rng([seed, 2]))
        results[arm] = run(arm, rows, corpus, settings)
        print(f"{arm}: {json.dumps(results[arm], indent=2)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def some_of(part: LabelledRows, number: int, seed: int) -> LabelledRows:
    """Draw recordings."""
    chosen = np.zeros(len(part.rows), dtype=bool)
    chosen[np.random.default_rng([seed, 1]).permutation(len(part.rows))[:number]] = True
    return part.where(chosen)


def divide(whole: LabelledRows, arm: str, generator: np.random.Generator) -> Rows:
    """Make rows of recordings, and divide them as an arm does."""
    patients = np.array(whole.patients)
    recording, label = np.nonzero(whole.labels)
    if arm == "repaired":
        recording, labels = np.arange(len(whole.rows)), whole.labels
    else:
        labels = np.eye(len(CLASSES), dtype=bool)[label]
    if arm == "as released":
        part = np.empty(len(recording), dtype=np.int64)
        for number in range(len(CLASSES)):
            of_label = label == number
            part[of_label] = parts(int(of_label.sum()), generator)
    else:
        names, who = np.unique(patients, return_inverse=True)
        part = parts(len(names), generator)[who][recording]
    return Rows(whole.rows[recording], labels, patients[recording], part)


def parts(number: int, generator: np.random.Generator) -> np.ndarray:
    """Deal out things to the three parts."""
    place = generator.permutation(number) / number
    return np.searchsorted(np.cumsum(SHARES), place, side="right")


def run(arm: str, rows: Rows, corpus: Corpus, settings: FinetuneSettings) -> dict[str, Any]:
    """Train an arm, and return its measures with intervals by patient."""
    multi_label = arm == "repaired"
    learnt, chosen_on, tested = (rows.of(part) for part in range(3))
    given, scores = fit_and_score(learnt, chosen_on, tested, corpus, settings, multi_label)
    if multi_label:
        who = chosen_on.patients.tolist()
        thresholds = choose_thresholds(chosen_on.labels, given, who, classes=CLASSES)
        decisions = decide(scores, thresholds, tested.patients.tolist())
    else:
        decisions = np.eye(len(CLASSES), dtype=bool)[scores.argmax(axis=1)]
    found: dict[str, Any] = {"tested": len(tested.labels)} | measures(
        tested, scores, decisions, settings.seed
    )
    if multi_label:
        return found
    seen = np.isin(tested.recordings, learnt.recordings)
    found |= {"tested_also_learnt_from": int(seen.sum())}
    other = others_of(rows, tested)
    several = other.any(axis=1)
    for name, chosen in (("seen", several & seen), ("unseen", several & ~seen)):
        if chosen.any():
            found[f"several_labels_{name}"] = int(chosen.sum())
            for whose, labels in (("own", tested.labels), ("other", other)):
                called = (decisions & labels).any(axis=1)
                found[f"called_by_{whose}_label_{name}"] = share(
                    called[chosen], tested.patients[chosen], settings.seed
                )
    return found


def share(called: np.ndarray, patients: np.ndarray, seed: int) -> dict[str, float]:
    """Return how often something is called, with the interval by patient."""
    names, who = np.unique(patients, return_inverse=True)
    even = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng([seed, 4]).multinomial(len(names), even, size=RESAMPLES)
    weights = np.vstack([np.ones(len(names)), drawn])[:, who]
    shares = weights @ called / weights.sum(axis=1)
    return symmetric_interval(shares, level=0.95, lowest=0.0, highest=1.0)._asdict()


def others_of(rows: Rows, tested: Rows) -> np.ndarray:
    """Return bool (tested, classes): the labels that the recording of a row has in other rows."""
    every = {
        recording: rows.labels[rows.recordings == recording].any(axis=0)
        for recording in np.unique(tested.recordings)
    }
    return np.stack([every[recording] for recording in tested.recordings]) & ~tested.labels


def fit_and_score(
    learnt: Rows,
    chosen_on: Rows,
    tested: Rows,
    corpus: Corpus,
    settings: FinetuneSettings,
    multi_label: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of the rows that are chosen on and of those that are tested."""
    architecture = Architecture(
        mode="cnn_attention_bilstm",
        classes=CLASSES,
        multi_label=multi_label,
        preprocess=PREPROCESS,
        pooling=settings.pooling,
        encoder=None,
        lasan=settings.lasan,
        cnn_attention_bilstm=settings.cnn_attention_bilstm,
    )
    torch.manual_seed(settings.seed)
    classifier, accelerator = build_classifier(architecture), Accelerator(cpu=True)
    splits = [Split(corpus, part.recordings, PREPROCESS) for part in (learnt, chosen_on, tested)]
    reading = LoaderOptions(settings.batch_size, len(PREPROCESS.leads))
    data = TrainingData(splits[0], learnt.labels, splits[1], chosen_on.labels)
    training = Training(
        classifier, data, settings.training, accelerator, seed=settings.seed, reading=reading
    )
    reached = training.run()
    scored = score_recordings(classifier, splits[2], reading, accelerator=accelerator)
    return reached.held_out, scored.probabilities


def measures(
    tested: Rows, scores: np.ndarray, decisions: np.ndarray, seed: int
) -> dict[str, dict[str, float]]:
    """Return macro AUROC and macro F1 with intervals by patient."""
    patients = tested.patients.tolist()
    generator = np.random.default_rng([seed, 3])
    auroc = bootstrap_scores(
        tested.labels, {"": scores}, patients, classes=CLASSES, generator=generator
    )

    def macro_f1(weights: np.ndarray) -> np.ndarray:
        return f_beta(weighted_confusion(tested.labels, decisions, weights)).mean(axis=1)[:, None]

    f1 = measure_intervals(
        {"": macro_f1},
        tested.labels,
        patients,
        measures=["F1"],
        classes=CLASSES,
        generator=generator,
        lowest=0.0,
        highest=1.0,
    )
    return {
        "auroc_macro": auroc.models[""].auroc_macro._asdict(),
        "f1_macro": f1.models[""]["F1"]._asdict(),
    }


if __name__ == "__main__":
    main()
