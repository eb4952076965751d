import numpy as np
import pytest

from lamae.ecg.signals import bandpass, crop_or_pad, interpolate_missing, resample


def sine(frequency_hz: float, *, rate: int, seconds: float = 10.0) -> np.ndarray:
    """Return float32 (1, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.sin(2 * np.pi * frequency_hz * time).astype(np.float32)[None]


@pytest.mark.parametrize(("source", "target"), [(500, 250), (100, 250), (400, 500), (1000, 257)])
def test_resampling_keeps_a_sine_within_the_band(source: int, target: int) -> None:
    found = resample(sine(7.0, rate=source), source_rate=source, target_rate=target)
    expected = sine(7.0, rate=target)
    assert found.shape == expected.shape and found.dtype == np.float32
    middle = slice(target, -target)
    np.testing.assert_allclose(found[:, middle], expected[:, middle], atol=0.01)


def test_resampling_removes_what_would_alias() -> None:
    found = resample(sine(90.0, rate=500), source_rate=500, target_rate=100)
    assert np.abs(found[:, 100:-100]).max() < 0.01


def test_resampling_does_not_ring_at_the_ends_of_an_offset() -> None:
    offset = np.full((1, 1000), 5.0, dtype=np.float32)
    np.testing.assert_allclose(resample(offset, source_rate=500, target_rate=250), 5.0, rtol=1e-5)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    signal = sine(7.0, rate=500)
    assert resample(signal, source_rate=500, target_rate=500) is signal


@pytest.mark.parametrize(
    ("frequency_hz", "kept"), [(0.1, 0.0), (10.0, 1.0), (20.0, 1.0), (110.0, 0.0)]
)
def test_bandpass_keeps_its_band_without_delay(frequency_hz: float, kept: float) -> None:
    signal = sine(frequency_hz, rate=250, seconds=30)
    found = bandpass(signal, sampling_rate=250, low_hz=0.67, high_hz=40.0)
    middle = slice(2500, -2500)
    np.testing.assert_allclose(found[:, middle], kept * signal[:, middle], atol=0.06)


@pytest.mark.parametrize("samples", [1, 2, 20])
def test_bandpass_takes_short_signals(samples: int) -> None:
    found = bandpass(
        np.ones((2, samples), np.float32), sampling_rate=250, low_hz=0.67, high_hz=40.0
    )
    assert found.shape == (2, samples) and np.isfinite(found).all()


@pytest.mark.parametrize("samples", [0, 3, 5, 8])
def test_crop_or_pad_gives_the_length_and_keeps_the_start(samples: int) -> None:
    signal = np.arange(1, 11).reshape(2, 5)
    found = crop_or_pad(signal, samples)
    assert found.shape == (2, samples)
    assert np.array_equal(found[:, :5], signal[:, :samples])
    assert not found[:, 5:].any()


def test_gaps_in_a_straight_line_are_filled_by_the_line() -> None:
    line = np.linspace(-1, 1, 20, dtype=np.float32)
    signal = np.stack([line, line])
    signal[0, 4:9] = np.nan
    np.testing.assert_allclose(interpolate_missing(signal), np.stack([line, line]), atol=1e-6)
    assert np.isnan(signal[0, 4:9]).all()


def test_gaps_at_the_ends_are_held() -> None:
    gap = np.nan
    signal = np.array([[gap, 3, gap, 5, gap, gap]])
    assert interpolate_missing(signal).tolist() == [[3, 3, 4, 5, 5, 5]]
