"""Batches in an order that the seed decides, read ahead, and robust to a damaged sample."""

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lamae.batches.dataset import Batch, Split, prefetch
from lamae.batches.order import shuffled_positions
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

CorpusWith = Callable[..., Corpus]
PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)


@given(count=st.integers(1, 40), epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_every_epoch_is_a_permutation(count: int, epoch: int, seed: int) -> None:
    first = epoch * count
    positions = shuffled_positions(first, first + count, count=count, seed=seed)
    assert sorted(positions) == list(range(count))


@given(
    count=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 90), min_size=2, max_size=2).map(sorted),
    seed=st.integers(0, 9),
)
def test_a_stretch_of_the_walk_needs_not_the_one_before(
    count: int, cuts: list[int], seed: int
) -> None:
    start, stop = cuts
    walk = shuffled_positions(0, 90, count=count, seed=seed)
    stretch = shuffled_positions(start, stop, count=count, seed=seed)
    assert np.array_equal(stretch, walk[start:stop])


def test_seeds_and_epochs_differ_in_their_order() -> None:
    walks = [tuple(shuffled_positions(0, 30, count=30, seed=seed)) for seed in range(20)]
    walks += [tuple(shuffled_positions(30 * e, 30 * e + 30, count=30, seed=0)) for e in range(1, 5)]
    assert len(set(walks)) == len(walks)


def _threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    return set(threading.enumerate()) - before


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_yields_in_order_from_other_threads(workers: int) -> None:
    def make(number: int) -> tuple[int, int]:
        time.sleep(0.002 * (number % 3))  # a later one may well be ready before an earlier one
        return number, threading.get_ident()

    made = list(prefetch(make, start=3, stop=20, workers=workers))
    assert [number for number, _ in made] == list(range(3, 20))
    assert (threading.get_ident() in {thread for _, thread in made}) == (workers == 0)


def test_prefetch_reads_ahead_so_far_and_no_farther() -> None:
    made: list[int] = []
    batches = prefetch(made.append, start=0, stop=100, workers=2)
    next(batches)
    assert _wait_until(lambda: len(made) == 7)  # one taken, six ahead of it
    time.sleep(0.05)
    assert len(made) == 7


def test_prefetch_hands_on_an_error_after_what_came_before_it() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise InputError("number", value=2, expected="another", remedy="Change it.")
        return number

    batches = prefetch(make, start=0, stop=9)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(InputError, match="number: 2"):
        next(batches)


def test_closing_prefetch_ends_its_thread() -> None:
    before = set(threading.enumerate())
    batches = prefetch(lambda number: number, start=0, stop=10**9)
    assert next(batches) == 0
    (thread,) = _threads_since(before)
    assert thread.is_alive()
    batches.close()
    assert _wait_until(lambda: not thread.is_alive())


def _split(corpus: Corpus, **options: bool) -> Split:
    return Split(corpus, corpus.rows("train"), PREPROCESSOR, **options)


def test_a_damaged_sample_is_an_error_that_names_key_and_checksum(
    corpus_with_damage: CorpusWith,
) -> None:
    damaged = corpus_with_damage(train=[3])
    split, key = _split(damaged), damaged.keys[damaged.rows("train")[3]]
    with pytest.raises(InputError, match=rf"sample {key}: checksum [0-9a-f]{{8}}; expected"):
        split.batch([2, 3])
    assert split.batch([2, 4]).keys == tuple(damaged.keys[damaged.rows("train")[[2, 4]]])


@pytest.mark.parametrize("position", [3, -1])
def test_in_training_the_next_sample_stands_in_for_a_damaged_one(
    corpus_with_damage: CorpusWith, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = corpus_with_damage(train=[position])
    rows = damaged.rows("train")
    position %= len(rows)
    expected = damaged.keys[rows[[1, (position + 1) % len(rows)]]]
    with caplog.at_level(logging.WARNING):
        first, again = (
            _split(damaged, replace_unusable=True).batch([1, position]) for _ in range(2)
        )
    assert first.keys == again.keys == tuple(expected)
    assert torch.equal(first.signal, again.signal)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert all(f"sample {damaged.keys[rows[position]]}: checksum" in line for line in warned)


def test_a_split_of_which_nothing_is_usable_is_an_error_even_in_training(
    corpus_with_damage: CorpusWith,
) -> None:
    damaged = corpus_with_damage(train=[0])
    lone = Split(damaged, damaged.rows("train")[:1], PREPROCESSOR, replace_unusable=True)
    with pytest.raises(InputError, match="checksum"):
        lone.batch([0])


def test_what_can_be_used_is_told_from_what_cannot_and_why(corpus_with_damage: CorpusWith) -> None:
    damaged = corpus_with_damage(train=[3])
    keys = damaged.keys[damaged.rows("train")]
    found = _split(damaged).usable([4, 3, 2])
    assert found.positions == [4, 2]
    assert found.batch is not None
    assert found.batch.keys == (keys[4], keys[2])
    assert found.unusable == {keys[3]: "damaged"}
    assert _split(damaged).usable([3]) == ([], None, {keys[3]: "damaged"})


def test_the_reason_of_a_refusal_is_that_of_the_preprocessor(
    corpus: Corpus, corpus_with_limb_leads: CorpusWith
) -> None:
    rows = corpus.rows("train")
    partial = corpus_with_limb_leads(rows[:1])
    preprocessor = PREPROCESSOR.model_copy(update={"leads": ("V1", "V6")})
    found = Split(partial, rows, preprocessor).usable([0, 1])
    assert found.positions == [1]
    assert found.unusable == {corpus.keys[rows[0]]: "no_usable_lead"}


def test_a_batch_holds_what_the_preprocessor_makes_of_each_recording(corpus: Corpus) -> None:
    batch: Batch = _split(corpus).batch(np.array([5, 0]))
    for signal, row in zip(batch.signal.numpy(), corpus.rows("train")[[5, 0]], strict=True):
        assert np.array_equal(signal, PREPROCESSOR(corpus.sample(int(row)).record).signal)
    assert batch.present is None
    assert batch.signal.shape == (2, len(LEADS), PREPROCESSOR.samples)


def test_a_recording_that_lacks_leads_says_which(
    corpus: Corpus, corpus_with_limb_leads: CorpusWith
) -> None:
    rows = corpus.rows("train")
    partial = corpus_with_limb_leads(rows[:1])
    preprocessor = PREPROCESSOR.model_copy(update={"leads": ("V6", "aVF", "V1")})
    split = Split(partial, rows, preprocessor)
    batch = split.batch([1, 0])
    assert batch.present is not None
    assert batch.present.tolist() == [[True, True, True], [False, True, False]]
    assert (batch.signal != 0).any(dim=2).tolist() == batch.present.tolist()
    assert split.batch([1, 2]).present is None


def test_lengths_are_those_that_a_preprocessor_makes_of_whole_recordings(corpus: Corpus) -> None:
    longer = PREPROCESSOR.model_copy(update={"duration_s": 8.0})
    split = Split(corpus, corpus.rows("train"), longer)
    found = split.lengths(np.arange(4))
    assert found.tolist() == [split.prepared(position)[1].samples for position in range(4)]
    batch = split.batch(range(4))
    assert batch.samples is not None and batch.samples.tolist() == found.tolist()
    assert _split(corpus).batch(range(4)).samples is None


@pytest.mark.parametrize("starts", [[0, 1, 100], [5, 249, 150]])
def test_windows_of_a_recording_are_cut_where_they_are_asked_for(
    corpus: Corpus, starts: list[int]
) -> None:
    """Recordings of 250 samples: a window of 100 begins at 150 at the latest."""
    window = PREPROCESSOR.model_copy(update={"duration_s": 2.0, "normalisation": "none"})
    split = Split(corpus, corpus.rows("train"), window)
    whole = _split(corpus).batch([3]).signal[0]
    scale = torch.from_numpy(_split(corpus).prepared(3)[1].scale_mv)[:, None]
    offset = torch.from_numpy(_split(corpus).prepared(3)[1].offset_mv)[:, None]
    batch = split.batch([3, 3, 3], starts=np.array(starts))
    for signal, start in zip(batch.signal, (min(s, 150) for s in starts), strict=True):
        expected = (whole * scale + offset)[:, start : start + 100]
        torch.testing.assert_close(signal, expected, rtol=1e-5, atol=1e-5)
    again = split.usable([3, 3, 3], starts=np.array(starts))
    assert again.positions == [3, 3, 3] and again.batch is not None
    assert torch.equal(again.batch.signal, batch.signal)


def test_a_window_of_a_short_recording_is_all_of_it(corpus: Corpus) -> None:
    longer = PREPROCESSOR.model_copy(update={"duration_s": 8.0})
    split = Split(corpus, corpus.rows("train"), longer)
    moved, first = (split.batch([2], starts) for starts in (np.array([70]), None))
    assert torch.equal(moved.signal, first.signal)
    assert moved.samples is not None and moved.samples.tolist() == [250]
