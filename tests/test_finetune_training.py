"""Training keeps the best epoch, ends when it should, and can be taken up by no accident."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from finetune.classifiers import Architecture, Classifier, build_classifier
from finetune.networks.cnn_attention_bilstm import CnnAttentionBilstmSettings
from finetune.networks.lasan import LasanSettings
from finetune.settings import TrainingSettings
from finetune.training import Reached, Training, TrainingData
from finetune.training_batches import Steps
from finetune.windows import Reading
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.errors import InputError
from lamae.preprocess import Preprocessor

CLASSES = ("AF", "LBBB", "sinus")
PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=2, band_hz=None)
Make = Callable[..., Training]


@pytest.fixture
def make(corpus: Corpus, accelerator: Accelerator) -> Make:
    """Return a function that makes the training of a small LASAN on simulated recordings."""
    labels = corpus.labels("class")
    matrix = np.array([[name in (found or ()) for name in CLASSES] for found in labels])
    rows = corpus.rows("train")
    kept, held_out = rows[:40], rows[40:]

    def make_training(seed: int = 0, **changes: Any) -> Training:
        torch.manual_seed(seed)
        architecture = Architecture(
            mode="lasan",
            classes=CLASSES,
            multi_label=False,
            preprocess=PREPROCESSOR,
            pooling="mean",
            encoder=None,
            lasan=LasanSettings(channels=(8, 8), kernel_size=5, depth=1, heads=2, hidden=8),
            cnn_attention_bilstm=CnnAttentionBilstmSettings(),
        )
        values = {"epochs": 4, "batch_size": 16, "part_size": 8, "lr": 1e-2, **changes}
        data = TrainingData(
            Split(corpus, kept, PREPROCESSOR),
            matrix[kept],
            Split(corpus, held_out, PREPROCESSOR),
            matrix[held_out],
        )
        return Training(
            build_classifier(architecture),
            data,
            TrainingSettings.model_validate(values),
            accelerator,
            seed=seed,
            reading=Reading(64, 12),
        )

    return make_training


def weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in classifier.model.state_dict().items()}


def test_the_best_epoch_is_left_and_was_saved(make: Make) -> None:
    training = make()
    saved: list[tuple[int, dict[str, torch.Tensor]]] = []

    def save(reached: Reached) -> None:
        saved.append((reached.best, weights(training.classifier)))

    reached = training.run(save)
    aurocs = [epoch.hold_out_auroc for epoch in reached.history]
    assert reached.best == 1 + int(np.argmax(aurocs)) == saved[-1][0]
    assert len({best for best, _ in saved}) == len(saved)
    left = weights(training.classifier)
    assert all(torch.equal(value, left[name]) for name, value in saved[-1][1].items())
    np.testing.assert_allclose(training._score(), reached.held_out, atol=1e-6)


def test_the_same_seed_trains_the_same_classifier_and_another_does_not(make: Make) -> None:
    def train(seed: int) -> dict[str, torch.Tensor]:
        training = make(seed, epochs=1)
        torch.manual_seed(99 + torch.randint(1000, (1,)).item())  # must not matter from here on
        training.run()
        return weights(training.classifier)

    first, again, other = train(0), train(0), train(1)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_training_ends_when_patience_is_spent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make(epochs=10, patience=2)
    labels = training.data.held_out_labels
    quality = iter([0.0, 1.0, 0.5, 0.5, 0.5, 0.5])

    def score(_: Training) -> np.ndarray:
        noise = np.random.default_rng(0).random(labels.shape)
        share = next(quality)
        return share * labels + (1 - share) * noise

    monkeypatch.setattr(Training, "_score", score)
    reached = training.run()
    assert reached.best == 2
    assert len(reached.history) == 4


def test_a_loss_that_is_not_finite_ends_training_and_names_the_records(make: Make) -> None:
    training = make()
    classify = training.classifier.model.get_submodule("classify")
    assert isinstance(classify, nn.Sequential)
    with torch.no_grad():
        training.classifier.model.get_parameter("classify.0.bias").fill_(float("nan"))
    with pytest.raises(InputError, match=r"training of lasan, step 1, .*loss nan.* records \d+"):
        training.run()


def test_each_recording_is_seen_once_in_an_epoch_with_its_own_labels(
    make: Make, accelerator: Accelerator
) -> None:
    training = make(batch_size=8, part_size=4)
    data = training.data
    steps = Steps(data.train, data.train_labels, training.settings, accelerator=accelerator, seed=3)
    assert steps.per_epoch == 5
    parts = [part for step in range(5) for part in steps.read(step)]
    keys = [key for part in parts for key in part.batch.keys]
    every = data.train.corpus.keys[data.train.rows].tolist()
    assert sorted(keys) == sorted(every)
    assert {part.number for part in parts} == {0, 1}
    for part in parts:
        for key, found in zip(part.batch.keys, part.labels, strict=True):
            assert found.tolist() == data.train_labels[every.index(key)].tolist()


def test_processes_that_cannot_share_the_parts_are_refused(
    make: Make, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make()
    data, settings = training.data, training.settings
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 3))
    with pytest.raises(InputError, match="in 2 parts of 8; expected a number of parts that 3"):
        Steps(data.train, data.train_labels, settings, accelerator=accelerator, seed=0)
