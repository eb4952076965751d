"""The page's facts of a recording: as the checks find them when shards are built."""

from dataclasses import replace

import numpy as np
import pytest

from finetune.serving.readings import describe
from lamae.ecg.leads import LEADS, derive_limb_lead
from lamae.ecg.record import Reading, Record
from lamae.quality.examine import examine
from lamae.quality.settings import QualitySettings


def _wave(*, leads: tuple[str, ...] = LEADS) -> Record:
    time = np.arange(2000) / 200
    waves = {lead: np.sin(2 * np.pi * (1 + row / 10) * time) for row, lead in enumerate(LEADS)}
    two = np.stack([waves["I"], waves["II"]])
    for lead in LEADS[2:6]:
        derived = derive_limb_lead(lead, two, ("I", "II"))
        assert derived is not None
        waves[lead] = derived
    digital = np.stack([np.round(500 * waves[lead]) for lead in leads]).astype(np.int16)
    return Record("r", digital, leads, 200, (1000.0,) * len(leads), (0,) * len(leads))


def test_a_clean_recording_has_no_fault_and_a_residual_of_rounding() -> None:
    found = describe(Reading(_wave(), ()), "WFDB")
    assert found.quality == []
    assert found.einthoven is not None and 0 < found.einthoven.peak_mv < 0.003


def test_the_faults_are_those_that_a_build_of_shards_notes() -> None:
    record = _wave()
    digital = record.digital.copy()
    digital[5] += 900
    digital[8, 200:900] = 7
    record = replace(record, digital=digital)
    found = describe(Reading(record, ()), "WFDB")
    assert found.quality == list(examine(record, QualitySettings()).notes)
    assert len(found.quality) == 3
    assert found.einthoven is not None and found.einthoven.peak_mv == pytest.approx(0.9, abs=0.003)


def test_two_limb_leads_cannot_disagree() -> None:
    assert describe(Reading(_wave(leads=("I", "II", "V1")), ()), "CSV").einthoven is None


def test_a_flat_lead_is_named_and_not_removed() -> None:
    record = _wave()
    digital = record.digital.copy()
    digital[11] = 3
    found = describe(Reading(replace(record, digital=digital), ()), "WFDB")
    assert found.leads == list(LEADS)
    assert found.quality == ["V6 constant in the whole recording; kept as it is."]
