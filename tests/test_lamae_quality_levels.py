"""What checks measure: unmoved by gaps, by padding and by what rounding leaves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lamae.ecg.amplitude import median_amplitude_mv
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.record import MISSING, Record
from lamae.quality.examine import examine
from lamae.quality.levels import measure
from lamae.quality.settings import QualitySettings

VALUES = arrays(
    np.int16,
    st.tuples(st.integers(1, 3), st.integers(1, 30)),
    elements=st.integers(-32768, 32767) | st.just(MISSING),
)


def as_record(digital: np.ndarray, *, sampling_rate: int = 100) -> Record:
    rows = len(digital)
    return Record("r", digital, LEADS[:rows], sampling_rate, (1000.0,) * rows, (0,) * rows)


@given(digital=VALUES)
def test_levels_are_those_of_the_samples_that_are_not_missing(digital: np.ndarray) -> None:
    levels = measure(as_record(digital))
    for row, values in enumerate(digital):
        known = values[values != MISSING].astype(np.float64)
        known = known if known.size else np.zeros(1)
        assert (levels.lowest[row], levels.highest[row]) == (known.min(), known.max())
        assert levels.mean[row] == pytest.approx(known.mean(), abs=1e-9)
        assert levels.missing[row] == np.count_nonzero(values == MISSING)


def test_the_amplitude_is_the_range_of_a_wave_whatever_is_padded_or_missing() -> None:
    wave = np.round(600 * np.sin(2 * np.pi * np.arange(1000) / 100)).astype(np.int16)
    digital = np.stack([wave, wave // 2, wave // 3])
    assert median_amplitude_mv(as_record(digital)) == pytest.approx(0.6, abs=0.002)
    padded = np.pad(digital, ((0, 0), (0, 3000)))
    assert median_amplitude_mv(as_record(padded)) == pytest.approx(0.6, abs=0.002)
    gaps = digital.copy()
    gaps[:, 10::100] = MISSING
    gaps[1, 300:900] = MISSING
    assert median_amplitude_mv(as_record(gaps)) == pytest.approx(0.6, abs=0.002)
    assert np.isnan(median_amplitude_mv(as_record(np.zeros((2, 300), dtype=np.int16))))


def test_a_plateau_left_by_one_large_step_is_saturation() -> None:
    rise = np.concatenate([np.arange(0, 300, 10), [300] * 7, [0] * 3])
    record = as_record(np.tile(rise, (1, 20)).astype(np.int16))
    assert "clipped" in examine(record, QualitySettings()).flags


def test_an_exchange_that_hardly_matters_is_not_claimed() -> None:
    first = np.round(5e4 * np.sin(np.arange(1000) / 10) / 5) * 2
    second = first + np.where(np.arange(1000) % 2, 200, -200)  # 2 uV apart
    limb = [first, second, second - first, -(first + second) / 2, first - second / 2]
    digital = np.stack([*limb, second - first / 2]).astype(np.int16)
    right = replace(as_record(digital), gain=(1e5,) * 6)
    wrong = replace(right, digital=digital[[0, 1, 2, 3, 5, 4]])
    strict = {
        "limb_leads_inconsistent": {"max_typical_mv": 0.001},
        "implausible_gain": {"policy": "ignore"},
    }
    quality = QualitySettings.model_validate(strict)
    assert examine(right, quality).flags == ("missing_leads",)
    assert examine(wrong, quality).flags == ("limb_leads_inconsistent", "missing_leads")


@pytest.mark.parametrize(
    "leads",
    [INDEPENDENT_LEADS, (*LEADS[:5], *LEADS[6:]), ("III", "aVR", *LEADS[6:]), LEADS],
    ids=["eight", "eleven", "turned", "all"],
)
def test_a_limb_lead_that_two_others_give_is_not_missed(leads: tuple[str, ...]) -> None:
    rows = np.random.default_rng(0).normal(0, 200, (12, 2000)).astype(np.int16)
    rows[2], rows[3] = rows[1] - rows[0], -(rows[0] + rows[1]) // 2
    rows[4], rows[5] = rows[0] - rows[1] // 2, rows[1] - rows[0] // 2
    whole = as_record(np.stack([rows[LEADS.index(lead)] for lead in leads]))
    named = replace(whole, leads=leads)
    assert examine(named, QualitySettings()).flags == ()
    kept = [n for n, lead in enumerate(leads) if lead != "V4"]
    less = replace(as_record(named.digital[kept]), leads=tuple(leads[n] for n in kept))
    verdict = examine(less, QualitySettings())
    assert verdict.flags == ("missing_leads",) and "without V4;" in verdict.notes[0]
