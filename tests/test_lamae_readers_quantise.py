from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Record
from lamae.errors import RecordError
from lamae.readers.quantise import FINEST_GAIN, REASONS, Quantised, quantise
from lamae.readers.wfdb.record_files import read_wfdb

GAINS = st.sampled_from([100.0, 200.0, 204.8, 250.0, 400.0, 1000.0, 2000.0, 4880.0, 10000.0])


def returned(quantised: Quantised) -> np.ndarray:
    """Return the signal of a record with these integers."""
    leads = LEADS[: len(quantised.gain)]
    return Record(
        "r", quantised.digital, leads, 500, quantised.gain, quantised.baseline
    ).signal_mv()


def walk(gain: float, *, leads: int = 12, samples: int = 2000, largest: int = 3000) -> np.ndarray:
    """Return integers such as those of an ECG: small steps, most of them used."""
    steps = np.random.default_rng(int(gain)).integers(-20, 21, (leads, samples))
    return np.clip(np.cumsum(steps, axis=1), -largest, largest)


@given(
    gain=GAINS,
    digital=arrays(np.int64, (2, 60), elements=st.integers(-9999, 9999)),
    single=st.booleans(),
)
def test_quotients_of_integers_return_bit_for_bit(
    gain: float, digital: np.ndarray, single: bool
) -> None:
    digital[0, 0] = 1  # no common divisor, which nothing could tell from the step
    quotients = digital / gain
    signal = quotients.astype(np.float32) if single else quotients
    quantised = quantise(signal)
    assert quantised.lossless
    error = np.abs(returned(quantised) - signal.astype(np.float32)).max()
    assert error <= 2.0**-22 * np.abs(signal).max()
    if float(np.float32(gain)) == gain:
        assert error == 0


@pytest.mark.parametrize("gain", [200.0, 204.8, 1 / 0.00488, 1000 / 3, 1000.0, 4880.0])
def test_the_integers_and_gain_of_a_recording_are_found(gain: float) -> None:
    digital = walk(gain)
    for signal in (digital / gain, (digital / gain).astype("f4"), digital * np.float32(1 / gain)):
        quantised = quantise(signal)
        assert quantised.lossless
        assert np.array_equal(quantised.digital, digital)
        assert np.allclose(quantised.gain, gain, rtol=1e-6)
        assert quantised.baseline == (0,) * 12


def test_leads_of_different_gains_are_each_exact() -> None:
    digital, gains = walk(1, leads=3), np.array([[200.0], [333.0], [1000.0]])
    quantised = quantise(digital / gains)
    assert quantised.lossless and np.array_equal(quantised.digital, digital)
    assert quantised.gain == (200.0, 333.0, 1000.0)


def test_a_baseline_moves_integers_that_16_bits_do_not_hold() -> None:
    digital = walk(1) + 40_000
    quantised = quantise((digital / 1000).astype(np.float32))
    assert quantised.lossless and quantised.gain == (1000.0,) * 12
    assert np.array_equal(
        quantised.digital.astype(int) - np.array(quantised.baseline)[:, None], digital
    )
    assert np.array_equal(returned(quantised), (digital / 1000).astype(np.float32))


def test_missing_values_stay_missing_and_are_never_a_measurement() -> None:
    signal = np.array([[-32767.0, 32767.0, 1.0, np.nan], [np.nan] * 4]) / 1000
    quantised = quantise(signal)
    assert np.array_equal(quantised.digital == MISSING, np.isnan(signal))
    assert np.allclose(returned(quantised), signal, atol=1e-6, equal_nan=True)


@given(arrays(np.float32, (2, 40), elements=st.floats(-400, 400, width=32, allow_subnormal=False)))
def test_what_is_on_no_lattice_uses_the_whole_range(signal: np.ndarray) -> None:
    quantised = quantise(signal)
    largest = np.abs(signal).max(axis=1, keepdims=True).astype(float)
    span = np.ptp(signal.astype(float), axis=1, keepdims=True)
    coarsest = np.maximum(span / 65_000, np.maximum(largest / 2**22, 1 / FINEST_GAIN))
    error = np.abs(returned(quantised).astype(float) - signal)
    assert (error <= coarsest).all()
    assert quantised.largest_error_mv == pytest.approx(error.max(), abs=1e-9)
    assert quantised.digital.min() > MISSING


def test_flat_and_empty_signals_are_exact() -> None:
    signal = np.array([[0.0] * 5, [0.25] * 5])
    assert np.array_equal(returned(quantise(signal)), signal)
    assert quantise(np.zeros((12, 7))).gain == (1000.0,) * 12
    assert quantise(np.empty((0, 5))).digital.shape == (0, 5)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.inf, "infinite_samples"), (-np.inf, "infinite_samples"), (2e6, "implausible_amplitude")],
)
def test_values_that_no_electrode_gives_are_refused(value: float, reason: str) -> None:
    with pytest.raises(RecordError, match="recording r1") as caught:
        quantise(np.array([[0.0, value, np.nan]]), name="r1")
    assert caught.value.reason == reason and reason in REASONS


def test_a_real_recording_in_millivolts_returns_to_its_integers(shared_data: Path) -> None:
    for stem in ("cpsc2018/A0001", "brugada_huca/files/935156/935156", "wfdb_samples/s0010_re"):
        record = read_wfdb(shared_data / stem)
        quantised = quantise(record.signal_mv())
        assert quantised.lossless and quantised.largest_error_mv == 0
        assert np.array_equal(returned(quantised), record.signal_mv())


def test_resampled_real_recordings_lose_less_than_their_amplifier(shared_data: Path) -> None:
    files = sorted((shared_data / "code15_ecgfm/org").glob("*.mat"))
    assert len(files) == 5
    for file in files:
        signal = scipy.io.loadmat(file)["feats"]
        quantised = quantise(signal)
        assert not quantised.lossless
        # IEC 60601-2-25 asks digital recordings for steps of at most 5 microvolts.
        assert np.abs(returned(quantised) - signal).max() < 0.0003
