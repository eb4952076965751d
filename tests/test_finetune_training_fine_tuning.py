"""Training keeps the best epoch, ends when it should, and can be taken up by no accident."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from finetune.classifiers.classifier import Architecture, Classifier, build_classifier
from finetune.data.windows import LoaderOptions
from finetune.experiment.resume import SavedProgress
from finetune.experiment.resume_training import TrainingProgress
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from finetune.training.batches import Steps
from finetune.training.fine_tuning import Reached, Snapshot, Training, TrainingData
from finetune.training.settings import TrainingSettings
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

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
        values = {"epochs": 4, "batch_size": 16, "micro_batch_size": 8, "lr": 1e-2, **changes}
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
            reading=LoaderOptions(64, 12),
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
    np.testing.assert_allclose(training.score_held_out(), reached.held_out, atol=1e-6)


def test_the_same_seed_trains_the_same_classifier_and_another_does_not(make: Make) -> None:
    def train(seed: int) -> dict[str, torch.Tensor]:
        training = make(seed, epochs=1)
        torch.manual_seed(99 + torch.randint(1000, (1,)).item())  # must not matter from here on
        training.run()
        return weights(training.classifier)

    first, again, other = train(0), train(0), train(1)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


class KilledError(Exception):
    """Stand-in for the end of a process."""


@pytest.mark.parametrize("last", [1, 3, 4])
def test_a_training_goes_on_from_a_kept_epoch_to_the_bit(
    last: int, make: Make, accelerator: Accelerator, tmp_path: Path
) -> None:
    """The network has dropout, batch statistics and an optimiser with moments."""
    whole = make()
    saved: list[tuple[int, dict[str, torch.Tensor]]] = []
    expected = whole.run(lambda reached: saved.append((reached.best, weights(whole.classifier))))

    def kept() -> TrainingProgress:
        progress = SavedProgress(tmp_path / "kept", {}, accelerator=accelerator)
        return TrainingProgress(progress, "lasan")

    def keep(snapshot: Snapshot) -> None:
        kept().save(snapshot)
        if len(snapshot.reached.history) == last:
            raise KilledError

    with pytest.raises(KilledError):
        make().run(after_epoch=keep)
    torch.manual_seed(99)  # must not matter
    resumed = make()
    start = kept().newest(resumed.settings.epochs)
    assert start is not None and len(start.reached.history) == last
    done: list[int] = []
    again: list[tuple[int, dict[str, torch.Tensor]]] = []
    found = resumed.run(
        lambda reached: again.append((reached.best, weights(resumed.classifier))),
        start=start,
        after_epoch=lambda snapshot: done.append(len(snapshot.reached.history)),
    )
    assert done == list(range(last + 1, resumed.settings.epochs + 1))
    assert (found.best, found.history) == (expected.best, expected.history)
    np.testing.assert_array_equal(found.held_out, expected.held_out)
    left, same = weights(whole.classifier), weights(resumed.classifier)
    assert all(torch.equal(value, same[name]) for name, value in left.items())
    for (best, value), (best_again, value_again) in zip(
        [each for each in saved if each[0] > last], again, strict=True
    ):
        assert best == best_again
        assert all(torch.equal(value[name], value_again[name]) for name in value)


def test_training_goes_on_from_the_epoch_before_one_that_is_damaged(
    make: Make, accelerator: Accelerator, tmp_path: Path
) -> None:
    kept = TrainingProgress(SavedProgress(tmp_path / "kept", {}, accelerator=accelerator), "lasan")
    make().run(after_epoch=kept.save)
    folders = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert folders == ["lasan-epoch-0003", "lasan-epoch-0004"]
    (tmp_path / "kept" / folders[1] / "tensors.safetensors").write_bytes(b"")
    found = kept.newest(4)
    assert found is not None and len(found.reached.history) == 3


def test_training_that_has_ended_by_patience_does_not_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make(epochs=10, patience=1)
    labels, quality = training.data.held_out_labels, iter([1.0, 0.0])
    noise = np.random.default_rng(0).random(labels.shape)

    def score(_: Training) -> np.ndarray:
        share = next(quality)
        return share * labels + (1 - share) * noise

    monkeypatch.setattr(Training, "score_held_out", score)
    snapshots: list[Snapshot] = []
    training.run(after_epoch=snapshots.append)
    assert len(snapshots) == 2
    resumed = make(epochs=10, patience=1)
    assert resumed.run(start=snapshots[-1], after_epoch=snapshots.append).best == 1
    assert len(snapshots) == 2


def test_training_ends_when_patience_is_spent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make(epochs=10, patience=2)
    labels = training.data.held_out_labels
    quality = iter([0.0, 1.0, 0.5, 0.5, 0.5, 0.5])

    def score(_: Training) -> np.ndarray:
        noise = np.random.default_rng(0).random(labels.shape)
        share = next(quality)
        return share * labels + (1 - share) * noise

    monkeypatch.setattr(Training, "score_held_out", score)
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
    training = make(batch_size=8, micro_batch_size=4)
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
    with pytest.raises(
        InputError, match="in 2 micro-batches of 8; expected a number of micro-batches that 3"
    ):
        Steps(data.train, data.train_labels, settings, accelerator=accelerator, seed=0)
