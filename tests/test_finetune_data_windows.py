"""Windows cover recordings of any length, are drawn repeatably, and are averaged by recording."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.windows import LoaderOptions, average_over_windows, usable_windows
from lamae.batches.dataset import Batch, Split
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.windows import covering_windows, drawn_starts
from lamae.storage.corpus import Corpus

WINDOW = 100
LENGTHS = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@given(LENGTHS)
def test_every_sample_is_in_a_window_and_no_window_leaves_its_recording(lengths: list[int]) -> None:
    found = covering_windows(np.arange(len(lengths)), np.array(lengths), window=WINDOW)
    for number, length in enumerate(lengths):
        starts = found.starts[found.positions == number]
        covered = np.zeros(length, dtype=bool)
        for start in starts:
            assert 0 <= start <= max(length - WINDOW, 0)
            covered[start : start + WINDOW] = True
        assert covered.all()
        assert len(starts) == max(1, -(-length // WINDOW))
        if len(starts) > 1:  # evenly, to the nearest sample
            assert np.ptp(np.diff(starts)) <= 1


def test_windows_of_a_recording_are_in_a_row() -> None:
    found = covering_windows(np.array([5, 2]), np.array([250, 90]), window=WINDOW)
    assert found.positions.tolist() == [5, 5, 5, 2]
    assert found.starts.tolist() == [0, 75, 150, 0]


def test_the_window_of_a_recording_depends_on_seed_epoch_and_position_alone() -> None:
    positions, lengths = np.array([3, 0, 4]), np.array([500, 90, 100])

    def drawn(epoch: int, seed: int, chosen: np.ndarray) -> list[int]:
        epochs = np.full(len(chosen), epoch)
        return drawn_starts(
            positions[chosen], epochs, lengths[chosen], window=WINDOW, count=8, seed=seed
        ).tolist()

    everything = np.arange(3)
    first = drawn(0, 7, everything)
    assert first[1:] == [0, 0]  # not longer than the window
    assert drawn(0, 7, everything[::-1]) == first[::-1]
    assert drawn(0, 7, everything[:1]) == first[:1]
    others = {drawn(epoch, seed, everything)[0] for epoch in range(4) for seed in (7, 8)}
    assert len(others) > 4
    assert all(0 <= start <= 400 for start in others)


def test_drawn_windows_are_spread_over_all_of_a_recording() -> None:
    count = 20_000
    starts = drawn_starts(
        np.arange(count),
        np.zeros(count, dtype=int),
        np.full(count, WINDOW + 3),
        window=WINDOW,
        count=count,
        seed=0,
    )
    shares = np.bincount(starts) / count
    np.testing.assert_allclose(shares, 0.25, atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_what_windows_give_is_averaged_for_each_recording(
    corpus: Corpus, accelerator: Accelerator, batch_size: int
) -> None:
    """Recordings of 5 s in windows of 2 s: three windows, which batches may cut apart."""
    preprocessor = Preprocessor(
        leads=("I", "V1"), sampling_rate=50, duration_s=2, band_hz=None, normalisation="none"
    )
    data = Split(corpus, corpus.rows("val")[:5], preprocessor)

    def compute(batch: Batch) -> np.ndarray:
        return batch.signal.amax(dim=2).numpy()

    found = average_over_windows(
        data, compute, LoaderOptions(batch_size, 2), accelerator=accelerator
    )
    assert found.positions.tolist() == list(range(5))
    for position in range(5):
        parts = [data.prepared(position, start)[1].signal.max(axis=1) for start in (0, 75, 150)]
        np.testing.assert_allclose(found.values[position], np.mean(parts, axis=0), rtol=1e-5)


def test_recordings_with_too_few_leads_are_left_out(corpus: Corpus) -> None:
    class Bare(Split):
        """Every other recording lacks its second lead."""

        def usable(self, positions, starts=None):  # type: ignore[no-untyped-def]
            found = super().usable(positions, starts)
            assert found.batch is not None
            present = torch.ones(len(found.positions), 2, dtype=torch.bool)
            present[1::2, 1] = False
            return found._replace(batch=found.batch._replace(present=present))

    preprocessor = Preprocessor(leads=("I", "V1"), sampling_rate=50, duration_s=2, band_hz=None)
    data = Bare(corpus, corpus.rows("val")[:4], preprocessor)
    found = usable_windows(data, np.arange(4), None, 2)
    keys = corpus.keys[data.rows].tolist()
    assert found.positions == [0, 2]
    assert found.unusable == dict.fromkeys(keys[1::2], "missing_leads")
    assert found.batch is not None and found.batch.keys == (keys[0], keys[2])
    assert usable_windows(data, np.arange(4), None, 1).positions == [0, 1, 2, 3]
