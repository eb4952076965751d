"""Files of hospitals: leads left out, missing samples, compression, identity, strangers."""

import base64
import builtins
import importlib
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import sierraecg

import lamae
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import MISSING
from lamae.errors import RecordError
from lamae.readers.any_file import read_file
from lamae.readers.hospital.sierra_xml import pulse_behind
from lamae.readers.read_options import ReadOptions
from tests.test_lamae_readers_hospital_files import (
    NAME,
    RATE,
    SAMPLES,
    STEP_UV,
    WRITERS,
    digital,
    edit,
    sierra,
    write_dicom,
    write_edf,
    write_ishne,
    write_muse,
    write_sierra,
)


def reason_of(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        lamae.read_ecg(path)
    assert not any(word in str(caught.value) for word in (*NAME, "1960"))
    return caught.value.reason


def test_a_file_of_eight_leads_gives_a_model_twelve(tmp_path: Path) -> None:
    write_muse(tmp_path / "r.xml")
    record = lamae.read_ecg(tmp_path / "r.xml")
    assert record.leads == INDEPENDENT_LEADS
    preprocessor = Preprocessor(
        sampling_rate=RATE, duration_s=SAMPLES / RATE, band_hz=None, normalisation="none"
    )
    prepared = preprocessor(record)
    assert prepared.present.all()
    expected = digital() * STEP_UV / 1000
    assert np.abs(prepared.millivolts(prepared.signal) - expected).max() <= STEP_UV / 1000


@pytest.mark.parametrize("form", WRITERS)
def test_a_missing_package_is_named_with_its_remedy(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[form](tmp_path / "r")
    (tmp_path / "r").rename(tmp_path / "r.x")
    for name in ("defusedxml", "pydicom", "edfio", "ecgdatakit.parsing.parsers"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("ecgdatakit.parsing.parsers.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RecordError, match=r"pip install 'lamae\[hospital\]'") as caught:
        lamae.read_ecg(tmp_path / "r.x")
    assert caught.value.reason == "missing_package"


ENTITIES = {
    "grows": '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
    "leads out": '<!DOCTYPE r [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
    "by parameter": '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://localhost/x.dtd"> %p;]>',
}


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
@pytest.mark.parametrize("form", ["muse", "sierra", "aecg"])
def test_entities_are_refused(tmp_path: Path, form: str, entity: str) -> None:
    path = tmp_path / "r.xml"
    WRITERS[form](path)
    text = path.read_text().replace('<!DOCTYPE RestingECG SYSTEM "restecg.dtd">', "")
    path.write_text(text.replace("?>", f"?>{entity}", 1).replace(">I<", ">&b;<", 1))
    assert reason_of(path) == "unreadable_file"


def test_no_file_is_opened_but_the_one_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_muse(tmp_path / "r.xml")  # names restecg.dtd
    lamae.read_ecg(tmp_path / "r.xml")
    importlib.import_module("ecgdatakit")
    monkeypatch.setattr(builtins, "open", None)
    assert lamae.read_ecg(tmp_path / "r.xml").leads == INDEPENDENT_LEADS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_in_another_encoding_than_it_declares_is_read(tmp_path: Path, encoding: str) -> None:
    write_sierra(tmp_path / "r.xml")
    text = (tmp_path / "r.xml").read_text().replace("?>", ' encoding="us-ascii"?>', 1)
    text = text.replace(NAME[1], "Jörg")
    (tmp_path / "r.xml").write_bytes(text.encode(encoding))
    assert np.array_equal(lamae.read_ecg(tmp_path / "r.xml").digital, digital())


def xli(row: np.ndarray) -> bytes:
    """Compress a lead as XLI does, in codes of single bytes."""
    s = row.astype(int)
    following = np.append(s[1:], 2 * s[-1] - s[-2])
    bent = 64 + 2 * s[1:] - s[:-1] - following[1:]
    deltas = np.concatenate([s[:2], bent[1:]]).astype(np.int16).view(np.uint16)
    first = int(bent[0]) - 64
    codes = np.concatenate([deltas >> 8, deltas & 255]).astype(np.uint16)
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return (
        len(packed).to_bytes(4, "little")
        + b"\0\0"
        + first.to_bytes(2, "little", signed=True)
        + packed
    )


def compressed() -> bytes:
    wave = digital().astype(int)
    left = wave.copy()
    left[2] = wave[1] - wave[0] - wave[2]
    left[3] = -wave[3] - (wave[0] + wave[1]) // 2
    left[4] = (wave[0] - wave[2]) // 2 - wave[4]
    left[5] = (wave[1] + wave[2]) // 2 - wave[5]
    return b"".join(xli(row) for row in left)


def test_compressed_leads_are_those_of_another_reader_and_what_was_compressed(
    tmp_path: Path,
) -> None:
    (tmp_path / "r.xml").write_text(sierra(compressed(), "XLI"))
    record = lamae.read_ecg(tmp_path / "r.xml")
    assert np.array_equal(record.digital, digital())
    theirs = sierraecg.read_file(str(tmp_path / "r.xml")).leads
    assert np.array_equal(record.digital, [lead.samples[:SAMPLES] for lead in theirs])


def test_a_compressed_file_that_might_grow_too_far_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(sierra(bytes(2**18 + 1), "XLI"))
    assert reason_of(tmp_path / "r.xml") == "unreadable_file"


def test_a_calibration_pulse_behind_the_recording_is_cut_off(tmp_path: Path) -> None:
    pulse = np.repeat([0, 200, 0], [20, 100, 30]).astype(np.int16)
    whole = np.concatenate([digital(), np.tile(pulse, (12, 1))], axis=1)
    path = tmp_path / "r.xml"
    path.write_text(sierra(whole.astype("<i2").tobytes(), samples=whole.shape[1]))
    reading = read_file(path, ReadOptions())
    assert np.array_equal(reading.record.digital, digital())
    assert reading.notes == ("A calibration pulse of 0.3 s was cut off.",)


@pytest.mark.parametrize(
    "tail", [np.zeros((12, 150)), np.eye(12, 150), np.full((12, 150), 9.0), np.zeros((12, 10))]
)
def test_no_recording_is_cut_that_ends_flat_or_otherwise(tail: np.ndarray) -> None:
    signal = np.concatenate([np.random.default_rng(0).normal(size=(12, 500)), tail], axis=1)
    assert pulse_behind(signal, 500.0) == 0


def test_samples_that_a_format_marks_are_missing(tmp_path: Path) -> None:
    def missing(path: Path) -> list[int]:
        return np.flatnonzero(lamae.read_ecg(path).digital[0] == MISSING).tolist()

    write_ishne(tmp_path / "r.ecg")
    content = bytearray((tmp_path / "r.ecg").read_bytes())
    content[522 + 24 * 5 : 522 + 24 * 5 + 2] = b"\x00\x80"
    (tmp_path / "r.ecg").write_bytes(content)
    assert missing(tmp_path / "r.ecg") == [5]
    write_dicom(tmp_path / "r.dcm")
    data = pydicom.dcmread(tmp_path / "r.dcm")
    samples = np.frombuffer(data.WaveformSequence[0].WaveformData, "<i2").copy()
    samples[12 * 7] = 31_000
    data.WaveformSequence[0].WaveformData = samples.tobytes()
    data.WaveformSequence[0].add_new("WaveformPaddingValue", "OW", np.int16(31_000).tobytes())
    data.save_as(tmp_path / "r.dcm")
    assert missing(tmp_path / "r.dcm") == [7]


def test_another_channel_than_a_lead_is_dropped_by_name(tmp_path: Path) -> None:
    write_edf(tmp_path / "r.edf")
    edit(tmp_path / "r.edf", "ECG V6", "PACE  ")
    edit(tmp_path / "r.edf", "ECG V5", "ECG1  ")
    reading = read_file(tmp_path / "r.edf", ReadOptions(leads_as={"ecg1": "V5"}))
    assert reading.record.leads == LEADS[:11] and reading.dropped == ("PACE", "SpO2")
    edit(tmp_path / "r.edf", "ECG V4", "ECG V3")
    assert reason_of(tmp_path / "r.edf") == "duplicate_lead"


@pytest.mark.parametrize("form", WRITERS)
def test_a_unit_of_the_user_goes_before_that_of_the_file(tmp_path: Path, form: str) -> None:
    WRITERS[form](tmp_path / "r.x")
    plain = lamae.read_ecg(tmp_path / "r.x")
    changed = read_file(tmp_path / "r.x", ReadOptions(unit="V")).record
    ratio = 1000 if form == "edf" else 1e6
    assert changed.gain == pytest.approx(np.array(plain.gain) / ratio)


def test_a_checksum_that_differs_refuses_or_is_noted(tmp_path: Path) -> None:
    write_muse(tmp_path / "r.xml")
    content = base64.b64encode(digital(("V6",))[0].astype("<i2").tobytes()).decode()
    edit(tmp_path / "r.xml", content, content[:40] + "AAAA" + content[44:])
    assert reason_of(tmp_path / "r.xml") == "unreadable_file"
    reading = read_file(tmp_path / "r.xml", ReadOptions(checksums="warn"))
    assert reading.notes == ("The checksum of V6 is not that of the file.",)
