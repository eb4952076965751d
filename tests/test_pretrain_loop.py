"""The training loop: it learns, and divides a batch without a change."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.batches.dataset import Batch, Split
from lamae.batches.order import shuffled_positions
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from pretrain.batches import MaskedBatch, Reader, masked_batch, step_batches
from pretrain.loop import Training, train_step, validate
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]


def split(corpus: Corpus, settings: PretrainSettings, name: str = "train") -> Split:
    return Split(corpus, corpus.rows(name), settings.preprocess)


def reader(data: Split, settings: PretrainSettings) -> Reader:
    return Reader(data, settings, torch.device("cpu"))


def train(training: Training, data: Split, *, steps: int) -> list[dict[str, float]]:
    results = []
    for step in range(training.step, steps):
        parts = step_batches(
            training.settings, training.accelerator, reader(data, training.settings), step
        )
        found = train_step(training, parts)
        results.append({name: float(value) for name, value in found.items()})
    return results


def process(index: int, count: int) -> Mock:
    return Mock(spec=Accelerator, process_index=index, num_processes=count, autocast=nullcontext)


def test_the_loss_falls_on_recordings_not_trained_on(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(steps=40, warmup_steps=5)
    training = start_training(settings, accelerator, corpus)
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
    training = start_training(settings, accelerator, corpus)
    parts = step_batches(settings, accelerator, reader(split(corpus, settings), settings), 0)
    losses = [float(train_step(training, parts)["train/loss"]) for _ in range(100)]
    assert losses[-1] < 0.6


def test_validation_draws_the_same_recordings_and_masks_each_time(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings()
    training = start_training(settings, accelerator, corpus)
    val = split(corpus, settings, "val")
    assert validate(training, val) == validate(training, val)
    assert training.autoencoder.training


def test_accumulation_changes_no_step(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    found = []
    for accumulation in (1, 2, 4):
        settings = make_settings(accumulation=accumulation)
        training = start_training(settings, accelerator, corpus)
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
    read = reader(data, settings)
    alone = make_settings(accumulation=1)
    (whole,) = step_batches(alone, process(0, 1), reader(data, alone), step)
    masks = dict(zip(whole.batch.keys, whole.mask.visible, strict=True))
    shares = [step_batches(settings, process(i, processes), read, step) for i in range(processes)]
    parts = [part for share in shares for part in share]
    assert {len(share) for share in shares} == {accumulation}
    assert {len(part.batch.keys) for part in parts} == {8 // processes // accumulation}
    assert sorted(key for part in parts for key in part.batch.keys) == sorted(whole.batch.keys)
    for part in parts:
        for key, visible in zip(part.batch.keys, part.mask.visible, strict=True):
            assert torch.equal(visible, masks[key])
    positions = shuffled_positions(88, 96, count=len(data), seed=settings.seed)
    assert list(whole.batch.keys) == corpus.keys[data.rows[positions]].tolist()


def test_masks_differ_between_steps_and_seeds(make_settings: MakeSettings, corpus: Corpus) -> None:
    drawn = set()
    for seed in (0, 1):
        settings = make_settings(seed=seed)
        for step in range(3):
            (part,) = step_batches(
                settings, process(0, 1), reader(split(corpus, settings), settings), step
            )
            drawn.add(part.mask.visible.numpy().tobytes())
    assert len(drawn) == 6


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 3), (4, 4), (16, 1)])
def test_a_batch_that_cannot_be_divided_is_refused(
    make_settings: MakeSettings, corpus: Corpus, processes: int, accumulation: int
) -> None:
    message = rf"batch_size: 8; expected a multiple of {processes * accumulation} "
    with pytest.raises(InputError, match=message):
        start_training(make_settings(accumulation=accumulation), process(0, processes), corpus)


def test_a_process_without_a_validation_recording_takes_part(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    """The second of two processes has nothing to validate where there is one recording."""
    settings = make_settings(validation_samples=1)
    training = start_training(settings, accelerator, corpus)
    val = split(corpus, settings, "val")
    alone = validate(training, val)
    idle = process(1, 2)
    idle.device, idle.unwrap_model = accelerator.device, accelerator.unwrap_model
    share = torch.tensor([alone, 1.0])
    idle.reduce = lambda total, reduction: total + share
    training.accelerator = idle
    assert validate(training, val) == pytest.approx(alone)


def gradients(
    settings: PretrainSettings, corpus: Corpus, accelerator: Any, parts: list[MaskedBatch]
) -> list[torch.Tensor]:
    """Return what a step of one process gives its optimiser, which does nothing."""
    training = start_training(settings, Accelerator(cpu=True), corpus)
    training.accelerator, training.optimizer = accelerator, Mock(param_groups=[])
    train_step(training, parts)
    found = [parameter.grad for parameter in training.model.parameters()]
    return [gradient for gradient in found if gradient is not None]


def with_absent_leads(batch: Batch) -> Batch:
    """Take leads from the recordings: none from those with an even key, all but two from others."""
    first = torch.arange(batch.signal.shape[1]) < 2
    few = torch.tensor([int(key[-1], 36) % 2 == 1 for key in batch.keys])
    return batch._replace(present=first | ~few[:, None])


def incomplete_batches(settings: PretrainSettings, process: Any, data: Split) -> list[MaskedBatch]:
    parts = step_batches(settings, process, reader(data, settings), 0)
    return [masked_batch(settings, with_absent_leads(part.batch), mask=part.mask) for part in parts]


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 2), (1, 8), (2, 1), (2, 2), (4, 1)])
def test_absent_leads_weigh_the_same_however_a_batch_is_divided(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    processes: int,
    accumulation: int,
) -> None:
    alone, data = make_settings(clip_norm=1e9), split(corpus, make_settings())
    parts = incomplete_batches(alone, accelerator, data)
    expected = gradients(alone, corpus, accelerator, parts)
    present = parts[0].batch.present
    assert present is not None and 2 < present.sum(1).float().mean() < 12
    settings = make_settings(clip_norm=1e9, accumulation=accumulation)
    found = []
    for index in range(processes):
        share = process(index, processes)
        share.device, share.backward = accelerator.device, lambda loss: loss.backward()
        share.no_sync, share.clip_grad_norm_ = nullcontext, accelerator.clip_grad_norm_
        share.reduce = Mock(side_effect=[torch.tensor(parts[0].counted), torch.tensor(0)])
        mine = incomplete_batches(settings, share, data)
        found.append(gradients(settings, corpus, share, mine))
    for whole, *shares in zip(expected, *found, strict=True):
        torch.testing.assert_close(torch.stack(shares).mean(0), whole, rtol=1e-3, atol=1e-6)


def test_validation_is_the_mean_over_the_leads_that_are_there(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One recording at a time and all at once: the loss of each counts by its leads."""
    settings = make_settings(validation_samples=8)
    training = start_training(settings, accelerator, corpus)
    val = split(corpus, settings, "val")
    whole_batch = val.batch

    monkeypatch.setattr(val, "batch", lambda positions: with_absent_leads(whole_batch(positions)))
    expected = validate(training, val)
    split_rows = torch.Tensor.split
    monkeypatch.setattr(torch.Tensor, "split", lambda rows, size: split_rows(rows, 1))
    assert validate(training, val) == pytest.approx(expected, rel=1e-5)
