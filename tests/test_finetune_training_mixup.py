"""Mixup: sums of two recordings, and of the losses of their labels."""

import numpy as np
import torch

from finetune.training.mixup import mix
from lamae.batches.dataset import Batch


def batch_of(present: torch.Tensor | None = None, samples: torch.Tensor | None = None) -> Batch:
    signal = torch.randn(6, 2, 10, generator=torch.Generator().manual_seed(0))
    return Batch(signal, present, tuple("abcdef"), samples)


def test_each_recording_is_the_sum_of_itself_and_its_partner() -> None:
    batch = batch_of()
    mixed = mix(batch, 0.4, seed=3)
    assert sorted(mixed.partner.tolist()) == list(range(6))
    for number, partner in enumerate(mixed.partner.tolist()):
        expected = mixed.share * batch.signal[number].numpy()
        expected = expected + (1 - mixed.share) * batch.signal[partner].numpy()
        np.testing.assert_allclose(mixed.batch.signal[number], expected, rtol=1e-5, atol=1e-6)


def test_the_draw_is_a_function_of_the_seed_and_lies_where_the_strength_says() -> None:
    batch = batch_of()
    first, again = (mix(batch, 0.4, seed=3) for _ in range(2))
    assert torch.equal(first.batch.signal, again.batch.signal)
    assert not torch.equal(first.batch.signal, mix(batch, 0.4, seed=4).batch.signal)
    near_half = [abs(mix(batch, 50.0, seed=seed).share - 0.5) < 0.2 for seed in range(50)]
    near_ends = [abs(mix(batch, 0.1, seed=seed).share - 0.5) > 0.3 for seed in range(50)]
    assert np.mean(near_half) > 0.9 and np.mean(near_ends) > 0.7


def test_what_one_of_the_two_lacks_the_sum_lacks() -> None:
    present = torch.tensor([[True, True]] * 5 + [[True, False]])
    samples = torch.tensor([10, 10, 10, 10, 10, 4])
    mixed = mix(batch_of(present, samples), 0.4, seed=3)
    lacks = (mixed.partner == 5) | (torch.arange(6) == 5)
    assert mixed.batch.present is not None and mixed.batch.samples is not None
    assert (mixed.batch.present[:, 1] != lacks).all() and mixed.batch.present[:, 0].all()
    assert torch.equal(mixed.batch.samples, torch.where(lacks, 4, 10))
