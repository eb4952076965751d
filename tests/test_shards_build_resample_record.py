import numpy as np
import pytest

from lamae.ecg.record import MISSING, Record
from shards.build.resample_record import at_rate


def sines(sampling_rate: int, *, samples: int) -> Record:
    """Return two leads with sines of 3 and 11 Hz of 1 mV, around a baseline of 7."""
    time = np.arange(samples) / sampling_rate
    mv = np.stack([np.sin(2 * np.pi * hz * time) for hz in (3, 11)])
    digital = np.rint(mv * 1000 + 7).astype(np.int16)
    return Record("r", digital, ("I", "V1"), sampling_rate, (1000.0,) * 2, (7, 7))


@pytest.mark.parametrize("rate", [100, 125, 250, 1000])
def test_a_sine_at_another_rate_is_the_same_sine(rate: int) -> None:
    found = at_rate(sines(500, samples=5000), rate)
    expected = sines(rate, samples=10 * rate)
    assert found.sampling_rate == rate and found.digital.shape == expected.digital.shape
    inner = slice(rate, -rate)
    error = found.digital[:, inner].astype(int) - expected.digital[:, inner]
    assert np.abs(error).max() <= 3  # microvolts


def test_no_rate_or_its_own_changes_nothing() -> None:
    record = sines(500, samples=100)
    assert at_rate(record, None) is record and at_rate(record, 500) is record


def test_missing_samples_stay_missing_and_touch_no_other_lead() -> None:
    record = sines(500, samples=5000)
    digital = record.digital.copy()
    digital[0, 1000:2000] = MISSING
    gap = Record("r", digital, record.leads, 500, record.gain, record.baseline)
    found, whole = at_rate(gap, 100), at_rate(record, 100)
    assert np.array_equal(found.digital[0] == MISSING, np.arange(1000) // 200 == 1)
    assert np.array_equal(found.digital[1], whole.digital[1])
    digital[:] = MISSING
    assert (at_rate(gap, 100).digital == MISSING).all()


def test_an_overshoot_is_held_at_the_limits_and_never_becomes_missing() -> None:
    square = np.where(np.arange(2000) // 100 % 2, 32767, -32767).astype(np.int16)[None]
    found = at_rate(Record("r", square, ("I",), 500, (200.0,), (0,)), 250)
    assert found.digital.min() == -32767 and found.digital.max() == 32767
