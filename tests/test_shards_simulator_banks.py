"""Recordings put together from banks."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.readers.wfdb.record_files import read_wfdb_signals
from shards.simulator.banks import Banks
from shards.simulator.data_set import simulate
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.mimic_layout import Study
from shards.simulator.settings import SimulateSettings

CODES = list(CLASSES)
STUDIES = [Study(10_000_000 + n // 2, 40_000_000 + n, datetime(2150, 1, 1)) for n in range(26)]
CODES_OF = [CODES[n // 2 % len(CODES)] for n in range(26)]


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Banks:
    folder = tmp_path_factory.mktemp("banks")
    return Banks(SimulateSettings(output=folder / "none", sampling_rate=100), 39)


def test_a_recording_is_the_same_whichever_are_made_with_it(banks: Banks) -> None:
    together = banks.signals_mv(banks.draw(STUDIES, CODES_OF))
    alone = banks.signals_mv(banks.draw(STUDIES[7:8], CODES_OF[7:8]))
    np.testing.assert_array_equal(together[7], alone[0])
    limb = {name: together[:, LEADS.index(name)] for name in LEADS}
    np.testing.assert_allclose(limb["I"] + limb["III"], limb["II"], atol=1e-5)


def test_a_patient_keeps_beats_and_no_two_recordings_are_equal(banks: Banks) -> None:
    draws = banks.draw(STUDIES, CODES_OF)
    assert (draws.beats[::2] == draws.beats[1::2]).all()
    assert (draws.beats // 3 == [CODES.index(code) for code in CODES_OF]).all()
    contents = {signal.tobytes() for signal in banks.signals_mv(draws)}
    assert len(contents) == len(STUDIES)


def test_a_data_set_from_banks_is_one_of_the_same_layout(tmp_path: Path) -> None:
    found = simulate(SimulateSettings(output=tmp_path / "s", records=30, banks=13))
    assert found["records"] == 30
    header = next((tmp_path / "s" / "files").rglob("*.hea"))
    record = read_wfdb_signals(header.with_suffix("")).record
    assert record.digital.shape == (12, 5000)
    table = (tmp_path / "s" / "machine_measurements.csv").read_text()
    assert len(table.splitlines()) == 31
