"""The training loop: it learns, goes on where it stopped, and divides a batch without a change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.checkpoint import OPTIMIZER, WEIGHTS, newest_checkpoint
from lamae.corpus import Corpus
from lamae.dataset import Split, shuffled_positions
from lamae.errors import InputError
from lamae.tracking import read_metrics
from pretrain import main
from pretrain.loop import Training, start_training, step_batches, train_step, validate
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]


def split(corpus: Corpus, settings: PretrainSettings, name: str = "train") -> Split:
    return Split(corpus, corpus.rows(name), settings.preprocess)


def train(training: Training, data: Split, *, steps: int) -> list[dict[str, float]]:
    results = []
    for step in range(training.step, steps):
        parts = step_batches(training.settings, training.accelerator, data, step)
        found = train_step(training, parts)
        results.append({name: float(value) for name, value in found.items()})
    return results


def process(index: int, count: int) -> Mock:
    return Mock(spec=Accelerator, process_index=index, num_processes=count)


def test_the_loss_falls_on_recordings_not_trained_on(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(steps=40, warmup_steps=5)
    training = start_training(settings, accelerator)
    val = split(corpus, settings, "val")
    before = validate(training, val)
    losses = [row["train/loss"] for row in train(training, split(corpus, settings), steps=40)]
    after = validate(training, val)
    assert after < 0.8 * before
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


def test_a_batch_seen_again_and_again_is_learnt_by_heart(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    """Targets have unit variance, so that a model that draws flat lines stays at 49 / 50."""
    leads = {"leads": ("II", "V1", "V5"), "sampling_rate": 50, "duration_s": 5, "band_hz": None}
    settings = make_settings(preprocess=leads, steps=100, batch_size=2, warmup_steps=10)
    training = start_training(settings, accelerator)
    parts = step_batches(settings, accelerator, split(corpus, settings), 0)
    losses = [float(train_step(training, parts)["train/loss"]) for _ in range(100)]
    assert losses[-1] < 0.6


def test_validation_draws_the_same_recordings_and_masks_each_time(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings()
    training = start_training(settings, accelerator)
    val = split(corpus, settings, "val")
    assert validate(training, val) == validate(training, val)
    assert training.autoencoder.training


def test_accumulation_changes_no_step(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    found = []
    for accumulation in (1, 2, 4):
        settings = make_settings(accumulation=accumulation)
        training = start_training(settings, accelerator)
        rows = train(training, split(corpus, settings), steps=5)
        found.append([list(row.values()) for row in rows])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (2, 2), (4, 2)])
def test_the_processes_share_a_batch_without_loss_or_repetition(
    make_settings: MakeSettings, corpus: Corpus, processes: int, accumulation: int
) -> None:
    settings = make_settings(accumulation=accumulation)
    data, step = split(corpus, settings), 11
    alone = make_settings(accumulation=1)
    (whole,) = step_batches(alone, process(0, 1), data, step)
    masks = dict(zip(whole.batch.keys, whole.visible, strict=True))
    shares = [step_batches(settings, process(i, processes), data, step) for i in range(processes)]
    parts = [part for share in shares for part in share]
    assert {len(share) for share in shares} == {accumulation}
    assert {len(part.batch.keys) for part in parts} == {8 // processes // accumulation}
    assert sorted(key for part in parts for key in part.batch.keys) == sorted(whole.batch.keys)
    for part in parts:
        for key, visible in zip(part.batch.keys, part.visible, strict=True):
            assert torch.equal(visible, masks[key])
    positions = shuffled_positions(88, 96, count=len(data), seed=settings.seed)
    assert list(whole.batch.keys) == corpus.keys[data.rows[positions]].tolist()


def test_masks_differ_between_steps_and_seeds(make_settings: MakeSettings, corpus: Corpus) -> None:
    drawn = set()
    for seed in (0, 1):
        settings = make_settings(seed=seed)
        for step in range(3):
            (part,) = step_batches(settings, process(0, 1), split(corpus, settings), step)
            drawn.add(part.visible.numpy().tobytes())
    assert len(drawn) == 6


def test_an_interrupted_run_ends_as_one_that_was_not(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings()

    def interrupted_step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 6:  # two steps after the checkpoint, which have to be done again
            raise KeyboardInterrupt
        return train_step(training, parts)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(main, "train_step", interrupted_step)
        main.pretrain(settings, accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest and newest.name == "step-00000004"
    assert [row["step"] for row in read_metrics(settings.run_dir)][-1] == 6

    main.pretrain(make_settings(resume=True), accelerator)
    for name in (f"model/{WEIGHTS}", f"checkpoints/step-00000008/{OPTIMIZER}"):
        assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()
    resumed, whole = (_untimed(read_metrics(run)) for run in (settings.run_dir, pretrained_run))
    assert resumed == whole
    assert [row["step"] for row in whole if "train/loss" in row] == list(range(1, 9))


def _untimed(rows: list[dict[str, int | float]]) -> list[dict[str, int | float]]:
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"seed: 0; expected 1, as configured"),
        ({"lr": 0.5}, r"lr: 0\.01; expected 0\.5"),
        ({"batch_size": 4}, r"batch_size: 8; expected 4"),
    ],
)
def test_a_run_does_not_go_on_with_settings_of_another(
    pretrained_run: Path,
    make_settings: MakeSettings,
    accelerator: Accelerator,
    changes: dict[str, object],
    message: str,
) -> None:
    settings = make_settings(run_dir=pretrained_run, resume=True, **changes)
    with pytest.raises(InputError, match=message):
        start_training(settings, accelerator)


def test_a_folder_that_holds_a_run_is_refused_unless_it_is_resumed(
    make_settings: MakeSettings, accelerator: Accelerator, pretrained_run: Path
) -> None:
    message = rf"run folder {pretrained_run}: holds step-00000008; .*resume=true"
    with pytest.raises(InputError, match=message):
        start_training(make_settings(run_dir=pretrained_run), accelerator)
    settings = make_settings(run_dir=pretrained_run, resume=True)
    assert start_training(settings, accelerator).step == 8


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 3), (4, 4), (16, 1)])
def test_a_batch_that_cannot_be_divided_is_refused(
    make_settings: MakeSettings, processes: int, accumulation: int
) -> None:
    message = rf"batch_size: 8; expected a multiple of {processes * accumulation} "
    with pytest.raises(InputError, match=message):
        start_training(make_settings(accumulation=accumulation), process(0, processes))


def test_a_process_without_a_validation_recording_takes_part(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    """The second of two processes has nothing to validate where there is one recording."""
    settings = make_settings(validation_samples=1)
    training = start_training(settings, accelerator)
    val = split(corpus, settings, "val")
    alone = validate(training, val)
    idle = process(1, 2)
    idle.device, idle.unwrap_model = accelerator.device, accelerator.unwrap_model
    share = torch.tensor([alone, 1.0])
    idle.reduce = lambda total, reduction: total + share
    training.accelerator = idle
    assert validate(training, val) == pytest.approx(alone)
