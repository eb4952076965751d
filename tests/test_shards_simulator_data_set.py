"""Simulated data sets: laws of the leads, noise, what determines them, and their files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lamae.config import load_settings
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from shards.simulator.data_set import simulate
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.mimic_layout import NOT_MEASURED, STORED_LEADS
from shards.simulator.settings import NoiseSettings, SimulateSettings
from shards.simulator.signals import simulate_signals

RATE = 500
CODES = list(CLASSES)
SILENT = NoiseSettings(white_mv=0, muscle_mv=0, mains_mv=0, wander_mv=0)


def generator(seed: int = 11) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "ecg"
    simulate(SimulateSettings(output=folder, records=120, seed=3))
    return folder


def test_limb_leads_obey_einthoven_and_goldberger() -> None:
    signal = simulate_signals(CODES, generator=generator()).signal_mv
    limb = {name: signal[:, LEADS.index(name)] for name in LEADS}
    np.testing.assert_allclose(limb["I"] + limb["III"], limb["II"], atol=1e-5)
    np.testing.assert_allclose(limb["aVR"] + limb["aVL"] + limb["aVF"], 0, atol=1e-5)
    assert signal.dtype == np.float32
    assert signal.shape == (len(CODES), 12, 5000)


def test_a_record_is_the_same_at_every_sampling_rate() -> None:
    fine, coarse = (
        simulate_signals(CODES, generator=generator(), noise=SILENT, sampling_rate=rate)
        for rate in (500, 100)
    )
    np.testing.assert_allclose(coarse.signal_mv, fine.signal_mv[:, :, ::5], atol=1e-4)


@pytest.mark.parametrize(
    ("noise", "low_hz", "high_hz"),
    [
        ({"wander_mv": 0.1}, 0.0, 0.7),
        ({"muscle_mv": 0.1}, 15.0, 200.0),
        ({"mains_mv": 0.1}, 49.5, 60.5),
    ],
)
def test_noise_lies_in_its_band(noise: dict[str, float], low_hz: float, high_hz: float) -> None:
    settings = SILENT.model_copy(update=noise)
    noisy, clean = (
        simulate_signals(["sinus"] * 8, generator=generator(), noise=n).signal_mv
        for n in (settings, SILENT)
    )
    power = (np.abs(np.fft.rfft(noisy - clean)) ** 2).sum(axis=(0, 1))
    frequency_hz = np.fft.rfftfreq(5000, 1 / RATE)
    inside = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    assert power[inside].sum() > 0.75 * power.sum() > 0


def test_unknown_class_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="LQT1"):
        simulate_signals(["LQT9"], generator=generator())
    with pytest.raises(ValueError, match="LQT1"):
        SimulateSettings(output=tmp_path, classes=("LQT9",))


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_wfdb_reads_back_names_gain_time_checksum_and_signal(dataset: Path) -> None:
    import wfdb  # which itself uses what pandas deprecates

    records = pd.read_csv(dataset / "record_list.csv")
    for row in records.head(5).itertuples():
        record = wfdb.rdrecord(str(dataset / row.path), physical=False)
        assert row.path == (
            f"files/p{str(row.subject_id)[:4]}/p{row.subject_id}/s{row.study_id}/{row.study_id}"
        )
        assert tuple(record.sig_name) == STORED_LEADS
        assert STORED_LEADS[4:6] == ("aVF", "aVL")
        assert (record.fs, record.sig_len, record.n_sig) == (500, 5000, 12)
        assert set(zip(record.fmt, record.adc_gain, record.baseline, strict=True)) == {
            ("16", 200.0, 0)
        }
        assert record.units == ["mV"] * 12
        assert record.checksum == record.calc_checksum()
        assert record.init_value == list(record.d_signal[0])
        assert record.comments == [f"<subject_id>: {row.subject_id}"]
        assert f"{record.base_datetime:%Y-%m-%d %H:%M:%S}" == row.ecg_time
        limb = dict(zip(STORED_LEADS, record.d_signal.T.astype(int), strict=True))
        assert np.abs(limb["I"] + limb["III"] - limb["II"]).max() <= 2


def test_tables_describe_the_same_studies_and_patients_keep_their_class(dataset: Path) -> None:
    records, labels, machine = (
        pd.read_csv(dataset / f"{name}.csv")
        for name in ("record_list", "labels", "machine_measurements")
    )
    assert list(labels.columns) == ["study_id", "subject_id", "class"]
    assert len(records) == records["study_id"].nunique() == 120
    assert list(records["study_id"]) == list(labels["study_id"]) == list(machine["study_id"])
    assert set(labels["class"]) == set(CLASSES)
    assert (labels.groupby("subject_id")["class"].nunique() == 1).all()
    assert set(labels["subject_id"].value_counts()) == {1, 2, 3}
    assert ((machine["p_onset"] == NOT_MEASURED) == (labels["class"] == "AF")).all()
    block = machine[labels["class"] == "IAVB"]
    assert ((block["qrs_onset"] - block["p_onset"]) > 200).all()
    assert (machine["qrs_end"] < machine["t_end"]).all()
    qrs_ms = (machine["qrs_end"] - machine["qrs_onset"]).groupby(machine["subject_id"])
    assert (qrs_ms.max() - qrs_ms.min()).max() <= 1


def test_result_depends_on_the_seed_and_not_on_the_workers(tmp_path: Path) -> None:
    def digest(name: str, **changes: int) -> str:
        simulate(SimulateSettings(output=tmp_path / name, records=110, duration_s=2.5, **changes))
        files = sorted(
            path
            for path in (tmp_path / name).rglob("*")
            if path.is_file() and path.name != "summary.json"
        )
        content = b"".join(
            str(f.relative_to(tmp_path / name)).encode() + f.read_bytes() for f in files
        )
        return hashlib.sha256(content).hexdigest()

    first = digest("first")
    assert digest("second", workers=2) == first
    assert digest("third", seed=1) != first


def test_the_summary_says_how_the_folder_came_to_be(dataset: Path) -> None:
    summary = json.loads((dataset / "summary.json").read_text())
    subjects = pd.read_csv(dataset / "labels.csv")["subject_id"]
    assert summary["seed"] == summary["config"]["seed"] == 3
    assert (summary["records"], summary["patients"]) == (120, subjects.nunique())
    assert sum(summary["classes"].values()) == 120 and summary["seconds"] > 0


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(InputError, match="output=<folder>"):
        simulate(SimulateSettings(output=tmp_path, records=1))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_appears_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("shards.simulator.data_set.write_tables", full_disk)
    with pytest.raises(OSError, match="no space"):
        simulate(SimulateSettings(output=tmp_path / "ecg", records=2))
    assert not list(tmp_path.iterdir())


def test_shipped_configuration_is_valid(tmp_path: Path) -> None:
    config = Path(__file__).parents[1] / "configs" / "shards" / "simulate.yaml"
    settings = load_settings(SimulateSettings, [str(config), f"output={tmp_path}"])
    assert settings == SimulateSettings(output=tmp_path)
