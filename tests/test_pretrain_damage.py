"""Damaged samples: few are replaced, and too many end a run, wherever it reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.batches.dataset import Batch, Split
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from pretrain.batches import Reader, training_batches, validation_batches
from pretrain.damage import DamageCount
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]


def batch(read: int, damaged: tuple[str, ...] = ()) -> Batch:
    return Batch(torch.zeros(read, 1, 1), None, ("k",) * read, damaged=damaged)


def test_ten_damaged_samples_end_no_run_and_eleven_among_few_do() -> None:
    count = DamageCount(Path("corpus"), largest_share=0.01)
    for number in range(10):
        count.add(batch(1, (f"bad-{number}",)))
    message = r"corpus: 11 of 22 samples read are damaged, the newest bad-10; .* 1\.00%"
    with pytest.raises(InputError, match=message):
        count.add(batch(1, ("bad-10",)))


@pytest.mark.parametrize(("share", "allowed"), [(0.01, 20), (0.0, 10), (1.0, 99)])
def test_a_share_of_all_that_was_read_may_be_damaged(share: float, allowed: int) -> None:
    count = DamageCount(Path("corpus"), largest_share=share)
    count.add(batch(2000))
    for _ in range(allowed):
        count.add(batch(0, ("bad",)))
    if share < 1:
        with pytest.raises(InputError, match=f"{allowed + 1} of"):
            count.add(batch(0, ("bad",)))


@pytest.fixture
def damaged(corpus_with_damage: Callable[..., Corpus]) -> Corpus:
    """Return shards with two damaged recordings among the first five of each split."""
    return corpus_with_damage(train=[1, 4], val=[1, 4])


@pytest.mark.slow
@pytest.mark.parametrize("residency", ["stream", "ram"])
@pytest.mark.parametrize("data_workers", [0, 2])
def test_a_run_ends_at_the_same_step_wherever_and_by_whomever_its_data_are_read(
    make_settings: MakeSettings,
    damaged: Corpus,
    accelerator: Accelerator,
    residency: str,
    data_workers: int,
) -> None:
    """Each epoch of some 57 recordings meets two damaged: the eleventh comes in the sixth."""
    settings = make_settings(steps=80, residency=residency, data_workers=data_workers)
    rows = damaged.rows("train")
    data = Split(damaged, rows, settings.preprocess, replace_unusable=True)
    read, steps = Reader(data, settings, torch.device("cpu")), []
    with pytest.raises(InputError, match=r"damaged: 11 of \d+ samples read are damaged"):
        for parts in training_batches(settings, accelerator, read, first_step=0):
            steps.append(parts)
    assert 5 * len(rows) <= 8 * (len(steps) + 1) <= 6 * len(rows) + 8
    met = [key for parts in steps for part in parts for key in part.batch.damaged]
    assert set(met) == set(damaged.keys[rows[[1, 4]]]) and len(met) in (9, 10)
    enough = make_settings(steps=80, residency=residency, max_damaged=0.5)
    assert len(list(training_batches(enough, accelerator, read, first_step=0))) == 80


def test_validation_counts_as_well(
    make_settings: MakeSettings,
    damaged: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings()
    data = Split(damaged, damaged.rows("val"), settings.preprocess, replace_unusable=True)
    (part,) = validation_batches(settings, accelerator, data)
    assert part.batch.damaged == tuple(damaged.keys[data.rows[[1, 4]]])
    monkeypatch.setattr("pretrain.damage._ALWAYS_ALLOWED", 1)
    with pytest.raises(InputError, match="2 of"):
        list(validation_batches(settings, accelerator, data))
    assert np.isfinite(part.batch.signal.numpy()).all()
