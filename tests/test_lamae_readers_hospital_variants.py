"""Variants of the formats of hospitals: gaps are missing samples, others are refused by name."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import lamae
from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING
from lamae.errors import RecordError
from lamae.readers.any_file import read_file
from lamae.readers.read_options import ReadOptions
from tests.test_lamae_readers_hospital_files import (
    NAME,
    PATIENT_ID,
    RATE,
    SAMPLES,
    STEP_UV,
    digital,
    edit,
    write_dicom,
    write_edf,
    write_kardia,
    write_muse,
    write_scp,
)

RECORD_S = 0.4
LENGTH = round(RECORD_S * RATE)


def write_edf_d(path: Path, onsets: list[str]) -> None:
    """Write EDF+D: three data records of 0.4 s, the last ones at other times than in a row."""
    write_edf(path, record_s=RECORD_S)
    edit(path, "EDF+C", "EDF+D")
    content = path.read_bytes()
    for number, onset in enumerate(onsets, start=3 - len(onsets)):
        old = f"+{number * RECORD_S:g}\x14\x14".encode()
        assert content.count(old) == 1 and len(onset) == len(f"{number * RECORD_S:g}")
        content = content.replace(old, f"+{onset}\x14\x14".encode())
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("onsets", "starts"),
    [
        (["9.5"], [0, 200, 4750]),
        (["1.6", "2.0"], [0, 800, 1000]),
        (["0.5", "3.2"], [0, 250, 1600]),
    ],
)
def test_gaps_of_a_discontinuous_edf_are_missing_samples(
    tmp_path: Path, onsets: list[str], starts: list[int]
) -> None:
    write_edf_d(tmp_path / "r.edf", onsets)
    reading = read_file(tmp_path / "r.edf", ReadOptions())
    expected = np.full((12, starts[-1] + LENGTH), MISSING, np.int16)
    for number, start in enumerate(starts):
        piece = slice(number * LENGTH, (number + 1) * LENGTH)
        expected[:, start : start + LENGTH] = digital()[:, piece]
    assert np.array_equal(reading.record.digital, expected)
    seconds = (starts[-1] + LENGTH - SAMPLES) / RATE
    assert reading.notes == (f"{seconds:g} s between its parts were not recorded.",)


@pytest.mark.parametrize("onsets", [["0.1"], ["0.7", "0.7"], ["0.x"], ["nan"], ["9.9"]])
def test_times_of_a_discontinuous_edf_that_cannot_be_are_refused(
    tmp_path: Path, onsets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamae.readers.hospital.edf.MAX_SAMPLES", 4000)
    write_edf_d(tmp_path / "r.edf", onsets)
    with pytest.raises(RecordError) as caught:
        lamae.read_ecg(tmp_path / "r.edf")
    assert caught.value.reason == "unreadable_file"


def test_a_continuous_edf_of_several_data_records_has_no_gap(tmp_path: Path) -> None:
    write_edf(tmp_path / "r.edf", record_s=0.2)
    assert b"+0.6000000000000001\x14" in (tmp_path / "r.edf").read_bytes()  # what edfio writes
    reading = read_file(tmp_path / "r.edf", ReadOptions())
    assert np.array_equal(reading.record.digital, digital()) and reading.notes == ()


def write_bdf(path: Path, *, record_s: float, onsets: bool = False) -> None:
    signals = [
        edfio.BdfSignal(
            row * STEP_UV / 1000, RATE, label=f"ECG {lead}", physical_dimension="mV",
            physical_range=(-50, 50),
        )
        for lead, row in zip(LEADS, digital(), strict=True)
    ]  # fmt: skip
    said = [edfio.EdfAnnotation(0.1, None, "beat")] if onsets else None
    edfio.Bdf(signals, data_record_duration=record_s, annotations=said).write(path)


@pytest.mark.parametrize("onsets", [False, True])
@pytest.mark.parametrize("record_s", [1.2, 0.4, 0.2])
def test_bdf_gives_its_samples_of_24_bits(tmp_path: Path, record_s: float, onsets: bool) -> None:
    write_bdf(tmp_path / "r.bdf", record_s=record_s, onsets=onsets)
    record = lamae.read_ecg(tmp_path / "r.bdf")
    np.testing.assert_allclose(record.signal_mv(), digital() * STEP_UV / 1000, atol=1e-4)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("cut", [1, LENGTH, 12 * LENGTH * 3 + 40])
def test_what_a_cut_edf_lacks_is_noted(tmp_path: Path, wide: bool, cut: int) -> None:
    path = tmp_path / "r.x"
    if wide:
        write_bdf(path, record_s=RECORD_S)
    else:
        write_edf(path, record_s=RECORD_S)
    path.write_bytes(path.read_bytes()[:-cut])
    reading = read_file(path, ReadOptions())
    assert reading.record.digital.shape[1] in (LENGTH, 2 * LENGTH)
    assert "The last data record is incomplete, and was left out." in reading.notes
    assert any(note.endswith("data records, and states others.") for note in reading.notes)


def write_dicom_in(path: Path, syntax: UID) -> None:
    write_dicom(path)
    data = pydicom.dcmread(path)
    if not syntax.is_little_endian:
        data.WaveformSequence[0].WaveformData = digital().T.astype(">i2").tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    form = {"little_endian": syntax.is_little_endian, "implicit_vr": syntax.is_implicit_VR}
    pydicom.dcmwrite(path, data, **form)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_dicom_of_any_transfer_syntax_is_read(tmp_path: Path, syntax: UID) -> None:
    write_dicom_in(tmp_path / "r.dcm", syntax)
    assert np.array_equal(lamae.read_ecg(tmp_path / "r.dcm").digital, digital())


def test_of_several_groups_of_dicom_the_rhythm_is_read(tmp_path: Path) -> None:
    write_dicom(tmp_path / "r.dcm")
    data = pydicom.dcmread(tmp_path / "r.dcm")
    beat = copy.deepcopy(data.WaveformSequence[0])
    beat.NumberOfWaveformSamples, beat.WaveformData = 9, bytes(2 * 12 * 9)
    data.WaveformSequence.insert(0, beat)
    data.save_as(tmp_path / "r.dcm")
    assert np.array_equal(lamae.read_ecg(tmp_path / "r.dcm").digital, digital())


@pytest.mark.parametrize(
    ("field", "skew", "late"),
    [
        ("ChannelSampleSkew", "3", 3),
        ("ChannelTimeSkew", "0.01", 5),
        ("ChannelSampleSkew", "0.2", 0),
    ],
)
def test_a_channel_of_dicom_that_begins_late_is_missing_before(
    tmp_path: Path, field: str, skew: str, late: int
) -> None:
    write_dicom(tmp_path / "r.dcm")
    data = pydicom.dcmread(tmp_path / "r.dcm")
    setattr(data.WaveformSequence[0].ChannelDefinitionSequence[6], field, skew)
    data.save_as(tmp_path / "r.dcm")
    record = lamae.read_ecg(tmp_path / "r.dcm")
    assert (record.digital[6, :late] == MISSING).all()
    assert np.array_equal(record.digital[6, late : late + SAMPLES], digital(("V1",))[0])
    assert np.array_equal(record.digital[0, :SAMPLES], digital(("I",))[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("leads", [LEADS, LEADS[:2], ("V1", *LEADS[:6])], ids=len)
def test_muse_of_any_leads_and_encoding_is_read(
    tmp_path: Path, leads: tuple[str, ...], encoding: str
) -> None:
    write_muse(tmp_path / "r.xml", leads)
    text = (tmp_path / "r.xml").read_text("latin-1").replace("ISO-8859-1", encoding)
    (tmp_path / "r.xml").write_bytes(text.replace(NAME[1], "Zoë").encode(encoding))
    record = lamae.read_ecg(tmp_path / "r.xml")
    assert record.leads == tuple(lead for lead in LEADS if lead in leads)
    assert np.array_equal(record.digital, digital(record.leads))


def write_kardia_12(path: Path) -> None:
    samples = dict(zip(LEADS, digital().tolist(), strict=True))
    path.write_text(
        json.dumps(
            {"recordedAt": "2021-03-04T05:06:07Z", "patientID": PATIENT_ID, "note": NAME[0],
             "data12L": {"raw": {"frequency": RATE, "samples": samples}}}
        )
    )  # fmt: skip


VARIANTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "Kardia 12L": (write_kardia_12, "a Kardia 12L recording"),
    "bimodal SCP": (lambda path: write_scp(path, bimodal=1), "bimodal compression"),
    "deflated DICOM": (lambda p: write_dicom_in(p, DeflatedExplicitVRLittleEndian), "deflated"),
    "SCP 3": (lambda path: write_scp(path, rhythm_section=12), r"SCP-ECG 3 \(section 12\)"),
}


@pytest.mark.parametrize(("write", "what"), VARIANTS.values(), ids=VARIANTS)
def test_a_variant_that_is_not_read_is_named(
    tmp_path: Path, write: Callable[[Path], None], what: str
) -> None:
    path = tmp_path / "12L bimodal.x"
    write(path)
    with pytest.raises(RecordError, match=rf"{what}.*; expected another variant") as caught:
        lamae.read_ecg(path)
    assert caught.value.reason == "unsupported_format"
    assert not any(word in str(caught.value) for word in (*NAME, PATIENT_ID))


def test_an_empty_kardia_lead_or_one_of_another_length_is_read_as_missing(tmp_path: Path) -> None:
    write_kardia(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    samples = content["data"]["raw"]["samples"]
    samples["AVF"] = samples["AVF"][: SAMPLES // 2]
    (tmp_path / "r.json").write_text(json.dumps(content))
    record = lamae.read_ecg(tmp_path / "r.json")
    assert (record.digital[5, SAMPLES // 2 :] == MISSING).all()
    assert np.array_equal(record.digital[:5], digital(LEADS[:5]))
