"""Augmentations: laws of each, and draws that no division of a batch changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from lamae.batches.dataset import Split
from lamae.batches.raw_batches import OnDevice
from lamae.errors import InputError
from lamae.model.recorded import WHOLE, Recorded
from lamae.storage.corpus import Corpus
from pretrain.augmentation import (
    Changes,
    augment,
    draw_changes,
    remaining_leads,
    wander,
    white_noise,
)
from pretrain.batches import MaskedBatch, Reader, step_batches, validation_batches
from pretrain.loop import train_step
from pretrain.settings import AugmentationSettings, PretrainSettings
from pretrain.start import check_same_training, start_training

MakeSettings = Callable[..., PretrainSettings]
CPU = torch.device("cpu")
ALL: dict[str, Any] = {
    f"{name}_probability": 0.7 for name in ("scale", "noise", "wander", "dropout")
}


def drawn(batch: int = 256, leads: int = 12, seed: int = 0, **changes: Any) -> Changes:
    return draw_changes(
        AugmentationSettings.model_validate(changes),
        batch=batch,
        leads=leads,
        sampling_rate=100,
        generator=torch.Generator().manual_seed(seed),
    )


def signals(batch: int = 256, leads: int = 12, samples: int = 1000) -> torch.Tensor:
    return torch.randn(batch, leads, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["scale", "noise", "wander", "dropout"])
def test_an_augmentation_of_strength_0_leaves_a_signal_as_it_is(name: str) -> None:
    nothing: dict[str, Any] = {f"{name}_probability": 1.0, f"{name}_strength": 0.0}
    changes = drawn(**nothing)
    present = remaining_leads(None, changes.kept)
    assert present is None or bool(present.all())
    found = augment(signals(), changes, Recorded(present))
    assert torch.equal(found, signals())


@pytest.mark.parametrize("name", ["scale", "noise", "wander"])
def test_an_augmentation_changes_the_share_of_recordings_that_is_asked_for(name: str) -> None:
    some: dict[str, Any] = {f"{name}_probability": 0.3}
    changes = drawn(2048, **some)
    signal = signals(2048, samples=20)
    changed = (augment(signal, changes, WHOLE) != signal).flatten(1)
    assert torch.equal(changed.any(1), changed.float().mean(1) > 0.9)
    assert 0.26 < changed.any(1).float().mean() < 0.34  # four standard deviations


def test_a_recording_is_scaled_by_one_factor_and_up_as_often_as_down() -> None:
    changes = drawn(2048, scale_probability=1.0, scale_strength=0.5)
    signal = signals(2048, samples=20)
    ratio = (augment(signal, changes, WHOLE) / signal).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert 1 / 1.5 < ratio.min() < 0.68 and 1.48 < ratio.max() < 1.5
    assert 0.45 < (ratio[:, 0] > 1).float().mean() < 0.55


def test_noise_is_white_gaussian_and_has_the_root_mean_square_that_is_asked_for() -> None:
    changes = drawn(64, noise_probability=1.0, noise_strength=0.3)
    silence = torch.zeros(64, 12, 2500)
    noise = augment(silence, changes, WHOLE).numpy() / 0.3
    assert noise.std() == pytest.approx(1, abs=0.003)
    assert kstest(noise[::7, ::5, ::3].ravel(), "norm").pvalue > 0.001
    power = (np.abs(np.fft.rfft(noise)) ** 2 / 2500).mean(axis=(0, 1))[1:-1]
    assert power.min() > 0.8 and power.max() < 1.2  # 768 spectra: five standard deviations
    rows = noise[:4].reshape(48, 2500)
    others = np.asarray(np.corrcoef(rows)) - np.eye(48)
    assert np.abs(others).max() < 5 / 50


def test_noise_stays_finite_at_the_ends_of_the_distribution() -> None:
    noise = white_noise(torch.tensor([[0, 0], [2**32 - 1, 2**32 - 1]]), leads=1, samples=2**22)
    assert torch.isfinite(noise).all()
    assert 4.8 < noise.abs().max() < 5.4


def test_wander_is_slow_and_its_periods_have_the_root_mean_square_that_is_asked_for() -> None:
    changes = drawn(512, wander_probability=1.0, wander_strength=0.2)
    assert changes.wander_rms is not None and (changes.wander_rms == 0.2).all()
    cycles = changes.wander_cycles * 100
    assert 0.05 <= cycles.min() < 0.06 and 0.49 < cycles.max() <= 0.5
    found = wander(torch.tensor([1 / 400, 1 / 250]), torch.rand(2, 12), samples=2000)
    torch.testing.assert_close(found.square().mean(-1), torch.ones(2, 12), rtol=1e-4, atol=0)
    spectrum = torch.fft.rfft(found).abs()
    assert spectrum.argmax(-1).tolist() == [[5] * 12, [8] * 12]  # periods in 2,000 samples
    assert len(set(found[0, :, 0].tolist())) == 12


@given(
    leads=st.integers(1, 12),
    strength=st.floats(0, 1),
    missing=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_dropout_leaves_a_lead_and_adds_none(
    leads: int, strength: float, missing: float, seed: int
) -> None:
    kept = drawn(16, leads, seed, dropout_probability=1.0, dropout_strength=strength).kept
    assert kept is not None and kept.any(1).all()
    present = torch.rand(16, leads, generator=torch.Generator().manual_seed(seed)) >= missing
    present[:, 0] |= ~present.any(1)
    found = remaining_leads(present, kept)
    assert found is not None and found.any(1).all()
    assert not (found & ~present).any()


def test_each_lead_is_dropped_with_the_probability_that_is_asked_for() -> None:
    kept = drawn(4096, dropout_probability=0.5, dropout_strength=0.4).kept
    assert kept is not None
    hit = ~kept.all(1)
    assert 0.46 < hit.float().mean() < 0.54
    lost = (~kept[hit]).float().mean(0)
    torch.testing.assert_close(lost, torch.full((12,), 0.4), atol=0.05, rtol=0)


def test_what_is_absent_or_behind_a_recording_stays_zero() -> None:
    changes = drawn(4, 3, **ALL)
    present = torch.tensor([[True, False, True]]).expand(4, 3)
    samples = torch.tensor([1000, 0, 10, 500])
    found = augment(signals(4, 3), changes, Recorded(present, samples=samples))
    recorded = torch.arange(1000) < samples[:, None, None]
    assert torch.equal(found != 0, recorded & present[..., None])


def test_one_augmentation_draws_the_same_whatever_the_others_are() -> None:
    alone, among = drawn(noise_probability=0.7), drawn(**ALL)
    assert alone.noise_rms is not None and among.noise_rms is not None
    assert torch.equal(alone.noise_rms, among.noise_rms)
    assert torch.equal(alone.noise_key, among.noise_key)


def windows(make_settings: MakeSettings, **changes: Any) -> PretrainSettings:
    preprocess = {"sampling_rate": 50, "duration_s": 3, "band_hz": (0.5, 20)}
    return make_settings(preprocess=preprocess, crop="random", augmentation=ALL, **changes)


def signal_of(part: MaskedBatch, settings: PretrainSettings) -> torch.Tensor:
    signal = part.arguments(CPU, OnDevice(settings.preprocess, CPU))["signal"]
    assert signal is not None
    return signal


def by_key(
    settings: PretrainSettings, corpus: Corpus, *, processes: int = 1, step: int = 3
) -> dict[str, tuple[Any, ...]]:
    """Return signal, mask and leads of each recording of a step, over all processes."""
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    read, found = Reader(data, settings, CPU), dict[str, tuple[Any, ...]]()
    for index in range(processes):
        process = Mock(spec=Accelerator, process_index=index, num_processes=processes)
        for part in step_batches(settings, process, read, step):
            present = part.batch.present
            assert present is not None
            hidden_in_a_lead = settings.patches - part.mask.visible.shape[-1]
            assert part.counted == int(present.sum()) * hidden_in_a_lead
            signal = signal_of(part, settings)
            rows = zip(signal, part.mask.visible, present, strict=True)
            found |= dict(zip(part.batch.keys, rows, strict=True))
    return found


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (1, 4), (2, 2)])
@pytest.mark.parametrize("residency", ["stream", "ram"])
def test_windows_and_augmentations_are_the_same_however_a_batch_is_divided_and_kept(
    make_settings: MakeSettings,
    corpus: Corpus,
    processes: int,
    accumulation: int,
    residency: str,
) -> None:
    whole = by_key(windows(make_settings), corpus)
    divided = windows(make_settings, accumulation=accumulation, residency=residency)
    parts = by_key(divided, corpus, processes=processes)
    assert parts.keys() == whole.keys() and len(whole) == 8
    for key, (signal, visible, present) in parts.items():
        torch.testing.assert_close(signal, whole[key][0], rtol=1e-4, atol=1e-4)
        assert torch.equal(visible, whole[key][1])
        assert torch.equal(present, whole[key][2])
        assert torch.equal((signal != 0).any(1), present)


def test_steps_and_seeds_differ_in_windows_and_augmentations(
    make_settings: MakeSettings, corpus: Corpus
) -> None:
    """One recording, so that only its window and its changes can differ."""
    seen = set()
    lone = {"batch_size": 1, "preprocess": {"sampling_rate": 50, "duration_s": 3, "band_hz": None}}
    for change in ({"crop": "random"}, {"augmentation": {"noise_probability": 1.0}}):
        for seed in (0, 1):
            settings = make_settings(**lone, **change, seed=seed)
            data = Split(corpus, corpus.rows("train")[:1], settings.preprocess)
            process = Mock(spec=Accelerator, process_index=0, num_processes=1)
            for step in range(3):
                (part,) = step_batches(settings, process, Reader(data, settings, CPU), step)
                seen.add(signal_of(part, settings).numpy().tobytes())
    assert len(seen) == 12


@pytest.mark.slow
def test_random_windows_reach_every_part_of_a_recording(
    make_settings: MakeSettings, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings of 250 samples, windows of 150: starts of 0 to 100, all alike."""
    settings = windows(make_settings, batch_size=8)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    starts: list[int] = []
    read = data.batch

    def batch(positions: np.ndarray, starts_of: np.ndarray) -> Any:
        starts.extend(starts_of)
        return read(positions, starts_of)

    monkeypatch.setattr(data, "batch", batch)
    process = Mock(spec=Accelerator, process_index=0, num_processes=1)
    for step in range(150):
        step_batches(settings, process, Reader(data, settings, CPU), step)
    assert min(starts) == 0 and max(starts) == 100
    counts = np.histogram(starts, bins=10, range=(0, 101))[0]
    assert (np.abs(counts - 120) < 4 * 120**0.5).all()


def test_validation_sees_recordings_from_their_beginning_and_as_they_are(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = windows(make_settings)
    data = Split(corpus, corpus.rows("val"), settings.preprocess)
    (part, *_) = validation_batches(settings, accelerator, data)
    for row, found in enumerate(signal_of(part, settings)[:3]):
        assert np.array_equal(found, settings.preprocess(corpus.record(int(data.rows[row]))).signal)
    assert part.batch.present is None and part.changes is None


def test_a_model_learns_from_windows_and_augmentations(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = windows(make_settings, steps=40, warmup_steps=4)
    training = start_training(settings, accelerator, corpus)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    read = Reader(data, settings, CPU)
    losses = [
        float(train_step(training, step_batches(settings, accelerator, read, step))["train/loss"])
        for step in range(40)
    ]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:2])


def test_a_run_goes_on_with_the_windows_and_augmentations_it_began_with_or_had_none(
    make_settings: MakeSettings,
) -> None:
    plain, changed = make_settings(), windows(make_settings)
    older = plain.model_dump(mode="json", exclude={"crop", "augmentation"})
    for settings, before in ((plain, older), (changed, changed.model_dump(mode="json"))):
        check_same_training(Path("checkpoint"), before, settings)
    with pytest.raises(InputError, match="crop: first; expected random"):
        check_same_training(Path("checkpoint"), older, changed)
    with pytest.raises(InputError, match=r"augmentation: .*'noise_probability': 0.7"):
        only = changed.model_copy(update={"crop": "first"})
        check_same_training(Path("checkpoint"), older, only)
