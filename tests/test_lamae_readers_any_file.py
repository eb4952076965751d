"""One function for files of any format, and one for signals in memory."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import wfdb

import lamae
from lamae.ecg.leads import LEADS
from lamae.errors import InputError, RecordError
from lamae.readers.formats import format_of

# wfdb, which writes a record here, calls pandas in a way that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

SIGNAL = np.random.default_rng(0).integers(-1500, 1500, (12, 60)) / 1000


def write_all(folder: Path) -> dict[str, str]:
    """Write one signal in each of the formats; return the names of files by format."""
    with (folder / "a.bin").open("wb") as array:
        np.save(array, SIGNAL)
    with h5py.File(folder / "b.bin", "w") as file:
        file["tracings"] = SIGNAL
    scipy.io.savemat(folder / "c.bin", {"ECG": {"sex": "Male", "data": SIGNAL}}, appendmat=False)
    rows = [",".join(LEADS), *(",".join(map(str, row)) for row in SIGNAL.T)]
    (folder / "d.bin").write_text("\n".join(rows))
    wfdb.wrsamp("e", 500, ["mV"] * 12, list(LEADS), SIGNAL.T, fmt=["16"] * 12,
                adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder))  # fmt: skip
    return {"npy": "a.bin", "hdf5": "b.bin", "icbeb": "c.bin", "csv": "d.bin", "wfdb": "e"}


def test_any_format_is_told_by_its_content_and_read(tmp_path: Path) -> None:
    for form, name in write_all(tmp_path).items():
        for path in (tmp_path / name, str(tmp_path / name)):
            assert format_of(Path(path)) == form
            record = lamae.read_ecg(path, sampling_rate=500)
            assert (record.leads, record.sampling_rate) == (LEADS, 500)
            np.testing.assert_allclose(record.signal_mv(), SIGNAL, atol=1e-6)
    for name in ("e.hea", "e.dat"):
        assert lamae.read_ecg(tmp_path / name).leads == LEADS


def test_a_unit_of_the_user_goes_before_that_of_every_file(tmp_path: Path) -> None:
    for name in write_all(tmp_path).values():
        record = lamae.read_ecg(tmp_path / name, sampling_rate=500, unit="uV")
        np.testing.assert_allclose(record.signal_mv(), SIGNAL / 1000, atol=1e-9)


@pytest.mark.parametrize("content", [b"", b"\x00" * 99, b"hello\n", b"\x89HDF", b"r 1 500 60\n"])
def test_a_file_of_no_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.xyz").write_bytes(content)
    with pytest.raises(RecordError, match="of no known format") as caught:
        lamae.read_ecg(tmp_path / "r.xyz")
    assert caught.value.reason == "unknown_format"


def test_pipes_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    for name in ("p.csv", "no.csv", ".", "n" * 300, "a\0b"):
        with pytest.raises(RecordError, match="no such file"):
            lamae.read_ecg(tmp_path / name)


@pytest.mark.parametrize("by_lead", [True, False])
def test_an_array_of_either_orientation_becomes_a_record(by_lead: bool) -> None:
    names = ["lead ii", "AVR", "ekg v1"]
    signal = SIGNAL[:3] if by_lead else SIGNAL[:3].T
    record = lamae.record_from(signal, sampling_rate=300.0, leads=names)
    assert (record.leads, record.sampling_rate) == (("II", "aVR", "V1"), 300)
    np.testing.assert_allclose(record.signal_mv(), SIGNAL[:3], atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "per_mv"), [("uV", 1000), ("µV", 1000), ("V", 0.001), ("nV", 1e6)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_of_an_array_are_converted(unit: str, per_mv: float, dtype: str) -> None:
    record = lamae.record_from((SIGNAL * per_mv).astype(dtype), sampling_rate=500, unit=unit)
    np.testing.assert_allclose(record.signal_mv(), SIGNAL, atol=1e-5)


def test_integer_microvolts_stay_as_they_are() -> None:
    digital = (SIGNAL * 1000).round().astype(np.int32)
    record = lamae.record_from(digital, sampling_rate=500, unit="uV")
    assert np.array_equal(record.digital, digital) and record.gain == (1000.0,) * 12


def test_a_data_frame_has_a_column_for_each_lead() -> None:
    frame = pd.DataFrame({"time": range(60), "ECG1": SIGNAL[0], "v6": SIGNAL[1]})
    record = lamae.record_from(frame, sampling_rate=500, leads_as={"ECG1": "II"})
    assert record.leads == ("II", "V6")
    np.testing.assert_allclose(record.signal_mv(), SIGNAL[:2], atol=1e-6)


def test_one_lead_needs_one_axis_and_a_fractional_rate_is_resampled() -> None:
    record = lamae.record_from(np.sin(np.arange(1000) / 40), sampling_rate=249.89, leads=["II"])
    assert record.sampling_rate == 250 and record.digital.shape == (1, 1001)


def test_an_array_of_no_use_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="The nearest is"):
        lamae.record_from(SIGNAL[:1], sampling_rate=500, leads=["foo"])
    with pytest.raises(InputError, match="unit: 'pounds'"):
        lamae.record_from(SIGNAL, sampling_rate=500, unit="pounds")
    with pytest.raises(InputError, match="50 to 10000"):
        lamae.record_from(SIGNAL, sampling_rate=0)
    for bad in (SIGNAL[:5], SIGNAL[0], SIGNAL[None], SIGNAL.astype(str), np.zeros((12, 12))):
        with pytest.raises(RecordError):
            lamae.record_from(bad, sampling_rate=500)
