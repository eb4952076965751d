from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from lamae.ecg.leads import LEADS
from lamae.errors import RecordError
from lamae.readers.arrays.icbeb import read_icbeb
from lamae.readers.arrays.mat5 import Mat5Error, read_struct

SAMPLES = 50


def save(path: Path, fields: dict[str, Any], *, compressed: bool = False) -> None:
    scipy.io.savemat(path, {"other": np.eye(3), "ECG": fields}, do_compression=compressed)


def lattice(step: float) -> np.ndarray:
    return np.random.default_rng(0).integers(-2000, 2000, (12, SAMPLES)) * step


@pytest.mark.parametrize("compressed", [False, True])
def test_a_recording_is_read_with_age_and_sex(tmp_path: Path, compressed: bool) -> None:
    path, data = tmp_path / "A0001.mat", lattice(0.001)
    save(path, {"sex": "Male", "age": 52, "data": data}, compressed=compressed)
    record, files, dropped, notes = read_icbeb(path)
    assert (record.name, record.leads, record.sampling_rate) == ("A0001", LEADS, 500)
    assert record.comments == ("Age: 52", "Sex: Male")
    assert (files, dropped) == ((path,), ())
    np.testing.assert_allclose(record.signal_mv(), data, rtol=1e-6)
    assert notes == (), "multiples of a microvolt are exact in 16 bits"


def test_values_that_16_bits_cannot_hold_are_rounded_and_the_note_says_how_far(
    tmp_path: Path,
) -> None:
    data = np.random.default_rng(0).normal(size=(12, SAMPLES))
    save(tmp_path / "A0001.mat", {"data": data})
    record, _, _, (note,) = read_icbeb(tmp_path / "A0001.mat")
    error_uv = 1000 * np.abs(record.signal_mv() - data).max()
    assert error_uv < 0.1
    assert float(note.rpartition(" most ")[2].removesuffix(" uV.")) == pytest.approx(
        error_uv, rel=0.1
    )
    assert record.comments == ()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_numbers_of_every_type_are_read_as_by_scipy(tmp_path: Path, dtype: str) -> None:
    path, numbers = tmp_path / "a.mat", np.arange(24).reshape(3, 4, 2).astype(dtype)
    save(path, {"data": numbers, "text": "übung", "nothing": []})
    found = read_struct(path.read_bytes())
    theirs = scipy.io.loadmat(path)["ECG"][0, 0]
    assert list(found) == ["data", "text", "nothing"]
    assert np.array_equal(found["data"], theirs["data"])
    assert found["text"] == theirs["text"].item()


def test_what_is_neither_numbers_nor_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    cell = np.empty(2, dtype=object)
    cell[:] = ["a", 1]
    save(path, {"cell": cell, "struct": {"a": 1}, "age": 3})
    assert list(read_struct(path.read_bytes())) == ["age"]


def test_complex_numbers_and_files_without_a_struct_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    save(path, {"data": np.array([1j])})
    with pytest.raises(Mat5Error, match="complex"):
        read_struct(path.read_bytes())
    scipy.io.savemat(path, {"ECG": np.eye(2)})
    with pytest.raises(Mat5Error, match="no struct"):
        read_struct(path.read_bytes())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data": lattice(0.001)[:8]}, "unreadable_signal"),
        ({"data": "text"}, "unreadable_signal"),
        ({"data": np.zeros((12, 0))}, "unreadable_signal"),
        ({"values": lattice(0.001)}, "unreadable_signal"),
        ({"data": lattice(1e4)}, "implausible_amplitude"),
        ({"data": np.full((12, SAMPLES), np.inf)}, "infinite_samples"),
    ],
)
def test_other_data_are_refused_by_name(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    save(tmp_path / "A0001.mat", fields)
    with pytest.raises(RecordError, match=r"A0001\.mat") as caught:
        read_icbeb(tmp_path / "A0001.mat")
    assert caught.value.reason == reason


def test_the_original_recordings_are_read_as_by_scipy_and_obey_einthoven(
    shared_data: Path,
) -> None:
    paths = sorted((shared_data / "cpsc2018_icbeb_native").glob("*.mat"))
    assert len(paths) == 5
    for path in paths:
        theirs = scipy.io.loadmat(path)["ECG"][0, 0]
        record = read_icbeb(path).record
        assert np.abs(record.signal_mv() - theirs["data"]).max() < 1e-4, "a tenth of a microvolt"
        lead = dict(zip(record.leads, record.signal_mv(), strict=True))
        assert np.abs(lead["III"] - (lead["II"] - lead["I"])).max() < 1e-3
        assert record.comments == (f"Age: {theirs['age'].item()}", f"Sex: {theirs['sex'].item()}")
